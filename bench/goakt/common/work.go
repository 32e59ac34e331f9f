package common

import (
	"encoding/binary"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	smallLen = 64
	bulkLen  = 1 << 20
)

// payload is so many bytes that no compressor makes smaller, the same in every run.
func payload(length int) []byte {
	state := uint64(0x9e3779b97f4a7c15)
	bytes := make([]byte, 0, length+8)
	for len(bytes) < length {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		bytes = binary.LittleEndian.AppendUint64(bytes, state)
	}
	return bytes[:length]
}

func (opts Options) warmUp() int {
	return max(opts.count/20, 1)
}

// together runs the work in so many goroutines and waits for all.
func together(goroutines int, work func(index int) error) error {
	var group errgroup.Group
	for index := range goroutines {
		group.Go(func() error { return work(index) })
	}
	return group.Wait()
}

func repeat(count int, work func() error) error {
	for range count {
		if err := work(); err != nil {
			return err
		}
	}
	return nil
}

// timed tells how long the work took each time.
func timed(count int, work func() error) ([]time.Duration, error) {
	took := make([]time.Duration, 0, count)
	err := repeat(count, func() error {
		began := time.Now()
		err := work()
		took = append(took, time.Since(began))
		return err
	})
	return took, err
}

// share is how much of count falls to one of so many.
func share(count, among, index int) int {
	if index < count%among {
		return count/among + 1
	}
	return count / among
}
