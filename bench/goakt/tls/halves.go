package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"bench/goakt/common"

	"google.golang.org/protobuf/proto"
)

// counter counts notes. It is no actor: the goroutine that reads a connection does what its frames say.
type counter struct {
	notes atomic.Uint64
}

func (s *system) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.serve(newStream(conn))
	}
}

// serve answers until the connection ends, which closes it.
func (s *system) serve(to *stream) {
	reader := bufio.NewReaderSize(to, readLen)
	var buffer []byte
	for {
		var said frame
		var err error
		if said, buffer, err = readFrame(reader, buffer); err == nil {
			err = s.answer(said, to)
		}
		if err != nil {
			to.fail(err)
			return
		}
	}
}

func (s *system) answer(said frame, to *stream) error {
	counter, known := s.counters[string(said.name)]
	if !known {
		return fmt.Errorf("there is no %q", said.name)
	}
	var answer proto.Message
	switch said.kind {
	case noteFrame:
		counter.notes.Add(1)
		return proto.Unmarshal(said.body, new(common.Note))
	case echoFrame:
		echo := new(common.Echo)
		if err := proto.Unmarshal(said.body, echo); err != nil {
			return err
		}
		answer = echo
	case countFrame:
		answer = &common.Counted{Notes: counter.notes.Load()}
	}
	body, err := proto.Marshal(answer)
	if err != nil {
		return err
	}
	return to.send(said.kind, said.id, "", body)
}

// client is a connection on which any number of questions are under way.
type client struct {
	*stream
	mutex sync.Mutex
	asked map[uint64]chan proto.Message
	next  uint64
}

func dial(address string, config *tls.Config) (*client, error) {
	conn, err := tls.Dial("tcp4", address, config)
	if err != nil {
		return nil, err
	}
	c := &client{stream: newStream(conn), asked: map[uint64]chan proto.Message{}}
	go c.readAnswers()
	return c, nil
}

// readAnswers closes the channels of those that get none.
func (c *client) readAnswers() {
	reader := bufio.NewReaderSize(c.stream, readLen)
	var buffer []byte
	for {
		var said frame
		var err error
		if said, buffer, err = readFrame(reader, buffer); err != nil {
			c.fail(err)
			break
		}
		var answer proto.Message = new(common.Echo)
		if said.kind == countFrame {
			answer = new(common.Counted)
		}
		if err := proto.Unmarshal(said.body, answer); err != nil {
			c.fail(err)
			break
		}
		c.mutex.Lock()
		waiting := c.asked[said.id]
		delete(c.asked, said.id)
		c.mutex.Unlock()
		waiting <- answer
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, waiting := range c.asked {
		close(waiting)
	}
	c.asked = nil
}

// ask fails once the connection has ended.
func (c *client) ask(kind byte, name string, body []byte) (any, error) {
	waiting := make(chan proto.Message, 1)
	c.mutex.Lock()
	if c.asked == nil {
		c.mutex.Unlock()
		return nil, net.ErrClosed
	}
	c.next++
	id := c.next
	c.asked[id] = waiting
	c.mutex.Unlock()
	if err := c.send(kind, id, name, body); err != nil {
		return nil, err
	}
	answer, open := <-waiting
	if !open {
		return nil, errors.New("the connection ended before the answer")
	}
	return answer, nil
}

// far is a counter of the server.
type far struct {
	conn *client
	name string
}

func (f far) Tell(note *common.Note) error {
	body, err := proto.Marshal(note)
	if err != nil {
		return err
	}
	return f.conn.send(noteFrame, 0, f.name, body)
}

func (f far) TellBatch(note *common.Note, count int) error {
	for range count {
		if err := f.Tell(note); err != nil {
			return err
		}
	}
	return nil
}

func (f far) Ask(question proto.Message) (any, error) {
	body, err := proto.Marshal(question)
	if err != nil {
		return nil, err
	}
	kind := echoFrame
	if _, is := question.(*common.Count); is {
		kind = countFrame
	}
	return f.conn.ask(kind, f.name, body)
}
