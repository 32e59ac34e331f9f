package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

const (
	// headLen is the length of what follows, the kind, the id of the question, and the length of the name.
	headLen = 4 + 1 + 8 + 1
	// readLen is read at once, as rakt does.
	readLen = 64 << 10
	// turnLen is written at once, and what may wait for that.
	turnLen = 256 << 10
	// frameLimit is more than any frame of the benchmark.
	frameLimit = 8 << 20
)

// The kinds of frames.
const (
	noteFrame byte = iota
	echoFrame
	countFrame
)

type frame struct {
	kind byte
	id   uint64
	name []byte
	body []byte
}

// readFrame reads into the buffer, which it returns, larger if need be; the frame is valid until the next.
func readFrame(from *bufio.Reader, buffer []byte) (frame, []byte, error) {
	var head [headLen]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return frame{}, buffer, err
	}
	length, name := int(binary.BigEndian.Uint32(head[:])), int(head[headLen-1])
	if length > frameLimit || name > length {
		return frame{}, buffer, errors.New("a frame is malformed")
	}
	if cap(buffer) < length {
		buffer = make([]byte, length)
	}
	buffer = buffer[:length]
	if _, err := io.ReadFull(from, buffer); err != nil {
		return frame{}, buffer, err
	}
	id := binary.BigEndian.Uint64(head[5:])
	return frame{head[4], id, buffer[:name], buffer[name:]}, buffer, nil
}

// stream is written by one goroutine, which takes all that has piled up; it is closed by the first error.
type stream struct {
	net.Conn
	mutex   sync.Mutex
	changed *sync.Cond
	waiting []byte
	failed  error
}

func newStream(conn net.Conn) *stream {
	s := &stream{Conn: conn}
	s.changed = sync.NewCond(&s.mutex)
	go s.writeAll()
	return s
}

// send waits while a turn's worth is not yet written.
func (s *stream) send(kind byte, id uint64, name string, body []byte) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for len(s.waiting) >= turnLen && s.failed == nil {
		s.changed.Wait()
	}
	if s.failed != nil {
		return s.failed
	}
	var head [headLen]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(name)+len(body)))
	head[4], head[headLen-1] = kind, byte(len(name))
	binary.BigEndian.PutUint64(head[5:], id)
	wake := len(s.waiting) == 0
	s.waiting = append(append(append(s.waiting, head[:]...), name...), body...)
	if wake {
		s.changed.Broadcast()
	}
	return nil
}

func (s *stream) writeAll() {
	var turn []byte
	for {
		s.mutex.Lock()
		for len(s.waiting) == 0 && s.failed == nil {
			s.changed.Wait()
		}
		if s.failed != nil {
			s.mutex.Unlock()
			return
		}
		turn, s.waiting = s.waiting, turn[:0]
		s.changed.Broadcast()
		s.mutex.Unlock()
		if _, err := s.Write(turn); err != nil {
			s.fail(err)
		}
	}
}

func (s *stream) fail(err error) {
	s.mutex.Lock()
	s.failed = err
	s.mutex.Unlock()
	s.changed.Broadcast()
	s.Close()
}
