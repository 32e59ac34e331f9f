// Command drive drives a node that keeps the contract (see README.md) with GoAkt's own client, and checks what it
// answers. It prints a line for each check, and ends with 1 if one of them failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"rakt/interop/goakt/internal/host"
	"rakt/interop/goakt/internal/secure"
)

// checkTimeout ends a check that would wait for ever: GoAkt's client has no timeout of its own.
const checkTimeout = 30 * time.Second

// check is one thing to find out about a target.
type check struct {
	name    string
	run     func(context.Context, *target) error
	timeout time.Duration // checkTimeout if zero
}

// suites are the values of --suite.
var suites = map[string][]check{
	"cluster":    cluster(),
	"operations": operations(),
	"errors":     errorChecks(),
	"grains":     grains(),
	"mixed":      mixed(),
	"frames":     frames(),
	"headers":    headers(),
	"held":       held(),
	"restart":    restart(),
	"senders":    senders(),
	"tls":        tlsChecks(),
}

func main() {
	passed, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drive:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

func run() (passed bool, err error) {
	names := slices.Sorted(maps.Keys(suites))
	x := &target{out: os.Stdout, run: newRun(), nodes: map[string]*raktNode{}}
	suite := flag.String("suite", "", strings.Join(names, ", "))
	flag.StringVar(&x.host, "host", host.Address, "host text of the node, as in its addresses")
	flag.IntVar(&x.port, "port", 0, "port of the node")
	flag.StringVar(&x.system, "system", "rakt", "name of the node's actor system")
	flag.IntVar(&x.count, "count", 100_000, "requests in the suite mixed")
	flag.DurationVar(&x.restartWithin, "restart-within", time.Minute,
		"suite restart: how long to wait for the node to go, and then to come back")
	compression := flag.String("compression", "zstd", "none, gzip, zstd or brotli, as the node has it")
	certs := secure.Flags()
	flag.StringVar(&x.node, "node", "", "suite tls: the program of a rakt node, of which it starts some")
	expect := flag.String("expect", "rakt", "go: tolerate what GoAkt v3.14.0 is known to do wrong; rakt: do not")
	flag.Func("others", "suite cluster: the ports of the other nodes, with commas", func(ports string) (err error) {
		x.others, err = readPorts(ports)
		return err
	})
	only := flag.String("only", "", "run only the checks with this in their name")
	flag.Parse()

	if x.compression, err = host.ParseCompression(*compression); err != nil {
		return false, err
	}
	x.certs = *certs
	if x.tls, err = certs.Info(); err != nil {
		return false, err
	}
	switch *expect {
	case "rakt", "go":
		x.rakt = *expect == "rakt"
	default:
		return false, fmt.Errorf("unknown --expect %q: go or rakt", *expect)
	}
	checks, known := suites[*suite]
	if !known {
		return false, fmt.Errorf("unknown --suite %q: %s", *suite, strings.Join(names, ", "))
	}
	x.remoting = newRemoting(x.compression, x.tls)
	defer x.remoting.Close()

	report := &report{out: os.Stdout}
	for _, check := range checks {
		if strings.Contains(check.name, *only) {
			report.check(check.name, runCheck(x, check))
		}
	}
	report.end()
	return report.failed == 0 && report.passed > 0, nil
}

func readPorts(text string) (ports []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		port, err := strconv.Atoi(part)
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// runCheck leaves a check behind that does not end. Its context carries no deadline unless the check gives it one,
// since GoAkt would send it along.
func runCheck(x *target, check check) error {
	timeout := check.timeout
	if timeout == 0 {
		timeout = checkTimeout
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- check.run(ctx, x) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(timeout):
		return fmt.Errorf("not done after %v", timeout)
	}
}
