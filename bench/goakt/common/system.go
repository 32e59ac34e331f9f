package common

import (
	"fmt"
	"net"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

const (
	// SystemName is what every actor system is called.
	SystemName = "bench"
	// AskTimeout is longer than anything that goes well.
	AskTimeout = 60 * time.Second

	counterName = "counter"
	// targets are the receivers of the fan workload, each named by targetName.
	targets = 2000
)

// Start starts an actor system that logs nothing: what it prints would get between the lines that
// the program has to print. Unless opts.Half is Local, it listens where ListenPort says.
type Start func(opts Options) (System, error)

// Local is the half of which nobody else is to be reached.
const Local = "local"

// System is an actor system of some version of GoAkt.
type System interface {
	// Port is where it listens.
	Port() int
	// Spawn starts an actor that counts notes, answers an Echo with itself, and Count with Counted.
	Spawn(name string) (Target, error)
	// Find is an actor of the server.
	Find(name string) (Target, error)
	// Visit has a peer with connections of its own ask an actor of the server once. The peer
	// stays connected until it is told to leave.
	Visit(name string, question proto.Message) (leave func(), err error)
}

// Target is an actor that System.Spawn started, here or at the server.
type Target interface {
	Tell(note *Note) error
	// TellBatch sends the note so many times as one batch.
	TellBatch(note *Note, count int) error
	Ask(question proto.Message) (answer any, err error)
}

// Batch is the note so many times, as what a batch of this GoAkt is made of.
func Batch[M any](note M, count int) []M {
	return slices.Repeat([]M{note}, count)
}

// ListenPort is the port that the options say, or a free one. The kernel is asked for that: the
// addresses of actors hold the number that the system was told, so it cannot be 0.
func (opts Options) ListenPort() (int, error) {
	if opts.Half == "serve" && opts.Port != 0 {
		return opts.Port, nil
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

func targetName(index int) string {
	return fmt.Sprintf("target-%d", index)
}

// serve spawns the actors of all workloads and never returns, unless that fails.
func serve(system System, _ Options) (*measured, error) {
	if _, err := system.Spawn(counterName); err != nil {
		return nil, err
	}
	for index := range targets {
		if _, err := system.Spawn(targetName(index)); err != nil {
			return nil, err
		}
	}
	fmt.Printf("ready %d\n", system.Port())
	select {}
}
