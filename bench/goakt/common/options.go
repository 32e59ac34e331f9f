// Package common makes a contestant of the benchmark of any version of GoAkt: a server, a client,
// and both within one process.
//
//	goakt [--compression C] serve
//	goakt [--compression C] [--batch N] client --workload W --count N --port P --server-pid PID,...
//	goakt local --workload W --count N
//	goakt node --index I --ports P,...
//
// A server prints "ready PORT" and works until it is killed. A client, and local, do one workload and print
// what they measured as one line of JSON. A node is one of a cluster, with three ports each, and does what it is told.
package common

//go:generate protoc --go_out=. --go_opt=paths=source_relative compare.proto

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Options is the command line.
type Options struct {
	Half string
	Host string
	Port int
	// Compression is "none", "zstd", or "" for GoAkt's default.
	Compression string
	// Certificates is the folder of ca.pem, node.pem and node.key, for those that speak TLS.
	Certificates string
	// Index is which node of a cluster this is.
	Index int

	ports      []int
	workload   string
	count      int
	serverPIDs []int
	batch      int
}

// Main does what the command line says, on systems that start makes, and nodes that join makes, if there are any.
func Main(name string, start Start, join Join) {
	log.SetFlags(0)
	log.SetPrefix(name + ": ")
	opts, err := parse(os.Args[1:])
	if err == nil {
		err = run(opts, start, join)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parse(args []string) (Options, error) {
	var opts Options
	var pids, ports string
	flags := flag.NewFlagSet("goakt", flag.ExitOnError)
	flags.StringVar(&opts.workload, "workload", "", "what to do")
	flags.IntVar(&opts.count, "count", 1000, "how much of it: messages, peers or actors")
	flags.StringVar(&opts.Host, "host", "127.0.0.1", "the server's address")
	flags.IntVar(&opts.Port, "port", 0, "the server's port; for serve 0 is any free one")
	flags.StringVar(&pids, "server-pid", "", "the server's processes, with commas")
	flags.StringVar(&opts.Compression, "compression", "", "none or zstd; GoAkt's default unless given")
	flags.StringVar(&opts.Certificates, "certificates", "", "a folder with ca.pem, node.pem and node.key, for TLS")
	flags.IntVar(&opts.batch, "batch", 1, "notes that are told as one batch; 1 is each alone")
	flags.IntVar(&opts.Index, "index", 0, "which node of a cluster it is, from 0 on")
	flags.StringVar(&ports, "ports", "", "those of all nodes, three each, with commas")

	// Options may stand on both sides of the word; a wrong one ends the process.
	_ = flags.Parse(args)
	opts.Half = flags.Arg(0)
	if flags.NArg() > 0 {
		_ = flags.Parse(flags.Args()[1:])
	}
	if opts.count < 1 || opts.batch < 1 {
		return opts, errors.New("--count and --batch are at least 1")
	}
	if !slices.Contains([]string{"", "none", "zstd"}, opts.Compression) {
		return opts, fmt.Errorf("--compression is none or zstd, not %q", opts.Compression)
	}
	var err error
	if opts.serverPIDs, err = numbers(pids); err != nil {
		return opts, fmt.Errorf("--server-pid: %w", err)
	}
	if opts.ports, err = numbers(ports); err != nil {
		return opts, fmt.Errorf("--ports: %w", err)
	}
	if opts.Half == "node" && (len(opts.ports) != 3*Nodes || opts.Index < 0 || opts.Index >= Nodes) {
		return opts, fmt.Errorf("a cluster has %d nodes with three ports each", Nodes)
	}
	return opts, nil
}

func numbers(words string) (list []int, err error) {
	for _, word := range strings.FieldsFunc(words, func(r rune) bool { return r == ',' }) {
		number, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		list = append(list, number)
	}
	return list, nil
}

func run(opts Options, start Start, join Join) error {
	if opts.Half == "node" && join != nil {
		return serveNode(join, opts)
	}
	work, known := map[string]func(System, Options) (*measured, error){
		"serve": serve, "client": client, "local": local,
	}[opts.Half]
	if !known {
		return errors.New("what to do is serve, client or local")
	}
	system, err := start(opts)
	if err != nil {
		return err
	}
	measured, err := work(system, opts)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(measured)
}
