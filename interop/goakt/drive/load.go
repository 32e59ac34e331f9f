package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// errWrongReply is the one outcome that nothing excuses.
var errWrongReply = errors.New("wrong reply")

// outcomes counts what became of requests that many senders make at once.
type outcomes struct {
	answered atomic.Uint64
	// failedInARow is how many have failed since the last that was answered.
	failedInARow atomic.Uint64
	// answeredInARow is how many have been answered since the last that failed.
	answeredInARow atomic.Uint64

	lock   sync.Mutex
	wrong  []string
	failed map[string]int
}

func newOutcomes() *outcomes { return &outcomes{failed: map[string]int{}} }

func (x *outcomes) add(err error) {
	if err == nil {
		x.answered.Add(1)
		x.answeredInARow.Add(1)
		x.failedInARow.Store(0)
		return
	}
	x.failedInARow.Add(1)
	x.answeredInARow.Store(0)
	x.lock.Lock()
	defer x.lock.Unlock()
	if errors.Is(err, errWrongReply) {
		x.wrong = append(x.wrong, err.Error())
		return
	}
	x.failed[withoutPorts(err.Error())]++
}

// wrongReplies is an error if there were any.
func (x *outcomes) wrongReplies() error {
	x.lock.Lock()
	defer x.lock.Unlock()
	if len(x.wrong) > 0 {
		return fmt.Errorf("%d wrong replies, the first: %s", len(x.wrong), x.wrong[0])
	}
	return nil
}

func (x *outcomes) failures() int {
	x.lock.Lock()
	defer x.lock.Unlock()
	total := 0
	for _, count := range x.failed {
		total += count
	}
	return total
}

func (x *outcomes) String() string {
	x.lock.Lock()
	defer x.lock.Unlock()
	var text strings.Builder
	fmt.Fprintf(&text, "%d answered", x.answered.Load())
	for _, why := range slices.Sorted(maps.Keys(x.failed)) {
		fmt.Fprintf(&text, "; %d failed: %s", x.failed[why], strings.ReplaceAll(why, "\n", " / "))
	}
	return text.String()
}

// withoutPorts takes the digits out of an error's text, so that those of many connections count as one.
func withoutPorts(text string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, text)
}
