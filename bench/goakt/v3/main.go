// GoAkt v3 as a contestant of the benchmark: a server, a client, and both within one process.
//
//	goakt [--plain] serve
//	goakt [--plain] [--batch N] client --workload W --count N --port P --server-pid PID,...
//	goakt local --workload W --count N
//
// A server prints "ready PORT" and works until it is killed. The others do one workload and print
// what they measured as one line of JSON.
package main

//go:generate protoc --go_out=. --go_opt=paths=source_relative compare.proto

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
)

// options is the command line.
type options struct {
	half       string
	workload   string
	count      int
	host       string
	port       int
	serverPIDs []int
	plain      bool
	batch      int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("goakt v3: ")
	opts, err := parse(os.Args[1:])
	if err == nil {
		err = run(opts)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parse(args []string) (options, error) {
	var opts options
	var pids string
	flags := flag.NewFlagSet("goakt", flag.ExitOnError)
	flags.StringVar(&opts.workload, "workload", "", "what to do")
	flags.IntVar(&opts.count, "count", 1000, "how much of it: messages, peers or actors")
	flags.StringVar(&opts.host, "host", "127.0.0.1", "the server's address")
	flags.IntVar(&opts.port, "port", 0, "the server's port; for serve 0 is any free one")
	flags.StringVar(&pids, "server-pid", "", "the server's processes, with commas")
	flags.BoolVar(&opts.plain, "plain", false, "without compression")
	flags.IntVar(&opts.batch, "batch", 1, "notes in one RemoteBatchTell; 1 is RemoteTell")

	// Options may stand on both sides of the word; a wrong one ends the process.
	_ = flags.Parse(args)
	opts.half = flags.Arg(0)
	if flags.NArg() > 0 {
		_ = flags.Parse(flags.Args()[1:])
	}
	if opts.count < 1 || opts.batch < 1 {
		return opts, errors.New("--count and --batch are at least 1")
	}
	for _, word := range strings.FieldsFunc(pids, func(r rune) bool { return r == ',' }) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return opts, fmt.Errorf("--server-pid: %w", err)
		}
		opts.serverPIDs = append(opts.serverPIDs, pid)
	}
	return opts, nil
}

func run(opts options) error {
	var measured *measured
	var err error
	switch opts.half {
	case "serve":
		return serve(opts)
	case "client":
		measured, err = client(opts)
	case "local":
		measured, err = local(opts)
	default:
		err = errors.New("what to do is serve, client or local")
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(measured)
}
