// GoAkt v3 as a contestant of the benchmark: a server, a client and work within one process.
//
//	v3 serve                 prints "ready PORT" and works until it is killed
//	v3 client --workload W   does one workload against a server and prints a line of JSON
//	v3 local --workload W    does one workload within this process and prints the same
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
)

// options is the command line.
type options struct {
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
	if len(os.Args) < 2 {
		log.Fatal("usage: v3 serve | client | local [options]")
	}
	opts, err := parse(os.Args[2:])
	if err == nil {
		err = run(os.Args[1], opts)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parse(args []string) (options, error) {
	var opts options
	var pids string
	flags := flag.NewFlagSet("v3", flag.ExitOnError)
	flags.StringVar(&opts.workload, "workload", "", "what to do")
	flags.IntVar(&opts.count, "count", 1000, "messages, or actors, to measure")
	flags.StringVar(&opts.host, "host", "127.0.0.1", "the server's address")
	flags.IntVar(&opts.port, "port", 0, "the server's port; for serve 0 is any free one")
	flags.StringVar(&pids, "server-pid", "", "the server's processes, with commas")
	flags.BoolVar(&opts.plain, "plain", false, "without compression")
	flags.IntVar(&opts.batch, "batch", 1, "messages in one RemoteBatchTell; 1 is RemoteTell")
	_ = flags.Parse(args) // ends the process when it fails

	if opts.count < 1 || opts.batch < 1 {
		return opts, fmt.Errorf("--count and --batch are at least 1")
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

func run(half string, opts options) error {
	ctx := context.Background()
	var measured *measured
	var err error
	switch half {
	case "serve":
		return serve(ctx, opts)
	case "client":
		measured, err = client(ctx, opts)
	case "local":
		measured, err = local(ctx, opts)
	default:
		err = fmt.Errorf("neither serve nor client nor local: %q", half)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(measured)
}
