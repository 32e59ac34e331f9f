package common

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
)

const (
	// Nodes is how many nodes a cluster has.
	Nodes = 3
	// warm is of how many actors, and grains, those that live are asked in turn.
	warm = 64
	// wakers is how many grains are woken at once.
	wakers = 64
	// soon is how long whoever waits for a grain that was lost waits for one answer.
	soon  = time.Second
	pause = 20 * time.Millisecond
	// patience is how long everybody else does.
	patience = 15 * time.Second
	// complete is how long a cluster may take until all nodes know each other, and each other's actors.
	complete = 30 * time.Second
	// atRest is how long what nodes share is moved around after that, and may be lost.
	atRest = 3 * time.Second
)

// Join starts a node of a cluster, of which opts say which it is and where all of them listen.
type Join func(opts Options) (Node, error)

// Node is one of a cluster of some version of GoAkt.
type Node interface {
	// Others is how many other nodes it knows.
	Others() (int, error)
	// Spawn starts an actor that answers an Echo with itself.
	Spawn(name string) (Target, error)
	// Listed is an actor of another node.
	Listed(name string) (Ask, error)
	// Grain brings a grain to life on this node, or on a random one, unless it lives already.
	Grain(name string, random bool) (Ask, error)
	// Living finds grains that live on other nodes.
	Living(names []string) ([]Ask, error)
}

// Ask asks an actor or a grain, and waits no longer than that.
type Ask func(question proto.Message, limit time.Duration) (answer any, err error)

// Ports are those of one node: of remoting, of gossip, and of what nodes share.
type Ports struct{ Remoting, Gossip, Peers int }

// NodePorts are the ports of a node.
func (opts Options) NodePorts(index int) Ports {
	ports := opts.ports[3*index:]
	return Ports{ports[0], ports[1], ports[2]}
}

// Gossips are the addresses where all nodes gossip.
func (opts Options) Gossips() []string {
	addresses := make([]string, Nodes)
	for index := range addresses {
		addresses[index] = fmt.Sprintf("%s:%d", opts.Host, opts.NodePorts(index).Gossip)
	}
	return addresses
}

// serveNode prints "ready" once all nodes know each other. Then it takes commands, a line each, and answers each with one
// line of JSON: what was took, or an error.
//
//	ask actors|grains AT_ONCE COUNT   asks those of node 1
//	wake here|random FROM COUNT       asks so many grains once each, from that number on
//	back FROM COUNT                   asks so many of those again and again, all at once, until each has answered
//	rest                              gives back what memory is free
func serveNode(join Join, opts Options) error {
	node, err := join(opts)
	if err != nil {
		return err
	}
	if err := eventually(func() error {
		others, err := node.Others()
		if err == nil && others != Nodes-1 {
			err = fmt.Errorf("it knows %d other nodes", others)
		}
		return err
	}); err != nil {
		return err
	}
	time.Sleep(atRest)
	for i := range warm {
		if _, err := node.Spawn(echoer(opts.Index, i)); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for lines.Scan() {
		took, err := obey(node, strings.Fields(lines.Text()))
		var answer any = took
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func echoer(index, i int) string { return fmt.Sprintf("echoer-%d-%d", index, i) }

func grainName(i int) string { return fmt.Sprintf("grain-%d", i) }

func eventually(work func() error) error {
	for began := time.Now(); ; time.Sleep(pause) {
		if err := work(); err == nil || time.Since(began) > complete {
			return err
		}
	}
}

// took says how long all of something took, in seconds, and its parts.
type took struct {
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Most    float64 `json:"most"`
}

func obey(node Node, words []string) (took, error) {
	var numbers []int
	for len(words) > 0 {
		number, err := strconv.Atoi(words[len(words)-1])
		if err != nil {
			break
		}
		numbers, words = append([]int{number}, numbers...), words[:len(words)-1]
	}
	command := strings.Join(words, " ")
	if command == "rest" && len(numbers) == 0 {
		// What is in pools is free from the second time on.
		for range 3 {
			debug.FreeOSMemory()
		}
		return took{}, nil
	}
	if len(numbers) != 2 {
		return took{}, errors.New("two numbers belong to a command")
	}
	first, count := numbers[0], numbers[1]
	switch command {
	case "ask actors", "ask grains":
		asked, err := echoers(node)
		if command == "ask grains" {
			asked, err = living(node)
		}
		if err != nil {
			return took{}, err
		}
		return each(first, count, func(i int) error { return echoed(asked[i%warm](smallEcho, patience)) })
	case "wake here", "wake random":
		return each(wakers, count, func(i int) error {
			return wake(node, first+i, command == "wake random", patience)
		})
	case "back":
		return each(count, count, func(i int) error {
			for wake(node, first+i, false, soon) != nil {
				time.Sleep(pause)
			}
			return nil
		})
	}
	return took{}, fmt.Errorf("%q is no command", command)
}

func wake(node Node, i int, random bool, limit time.Duration) error {
	ask, err := node.Grain(grainName(i), random)
	if err != nil {
		return err
	}
	return echoed(ask(smallEcho, limit))
}

// echoers are the actors of node 1, once they are listed.
func echoers(node Node) ([]Ask, error) {
	asked := make([]Ask, warm)
	for i := range asked {
		err := eventually(func() (err error) {
			asked[i], err = node.Listed(echoer(1, i))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return asked, nil
}

func living(node Node) ([]Ask, error) {
	names := make([]string, warm)
	for i := range names {
		names[i] = grainName(i)
	}
	return node.Living(names)
}

// each does so much work, so many at once.
func each(atOnce, count int, work func(i int) error) (took, error) {
	times := make([]time.Duration, count)
	began := time.Now()
	err := together(atOnce, func(index int) error {
		for i := index; i < count; i += atOnce {
			began := time.Now()
			if err := work(i); err != nil {
				return err
			}
			times[i] = time.Since(began)
		}
		return nil
	})
	seconds := time.Since(began).Seconds()
	if err != nil || count == 0 {
		return took{}, err
	}
	return took{seconds, percentile(times, 0.5), percentile(times, 0.99), percentile(times, 1)}, nil
}
