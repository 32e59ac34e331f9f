// Package common makes a contestant of the benchmark of any version of GoAkt: a server, a client,
// and both within one process.
//
//	goakt [--compression C] serve
//	goakt [--compression C] [--batch N] client --workload W --count N --port P --server-pid PID,...
//	goakt local --workload W --count N
//
// A server prints "ready PORT" and works until it is killed. The others do one workload and print
// what they measured as one line of JSON.
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

	workload   string
	count      int
	serverPIDs []int
	batch      int
}

// Main does what the command line says, on systems that start makes.
func Main(name string, start Start) {
	log.SetFlags(0)
	log.SetPrefix(name + ": ")
	opts, err := parse(os.Args[1:])
	if err == nil {
		err = run(opts, start)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parse(args []string) (Options, error) {
	var opts Options
	var pids string
	flags := flag.NewFlagSet("goakt", flag.ExitOnError)
	flags.StringVar(&opts.workload, "workload", "", "what to do")
	flags.IntVar(&opts.count, "count", 1000, "how much of it: messages, peers or actors")
	flags.StringVar(&opts.Host, "host", "127.0.0.1", "the server's address")
	flags.IntVar(&opts.Port, "port", 0, "the server's port; for serve 0 is any free one")
	flags.StringVar(&pids, "server-pid", "", "the server's processes, with commas")
	flags.StringVar(&opts.Compression, "compression", "", "none or zstd; GoAkt's default unless given")
	flags.StringVar(&opts.Certificates, "certificates", "", "a folder with ca.pem, node.pem and node.key, for TLS")
	flags.IntVar(&opts.batch, "batch", 1, "notes that are told as one batch; 1 is each alone")

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
	for _, word := range strings.FieldsFunc(pids, func(r rune) bool { return r == ',' }) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return opts, fmt.Errorf("--server-pid: %w", err)
		}
		opts.serverPIDs = append(opts.serverPIDs, pid)
	}
	return opts, nil
}

func run(opts Options, start Start) error {
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
