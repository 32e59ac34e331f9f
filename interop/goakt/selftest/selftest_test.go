// Package selftest drives GoAkt with GoAkt, so that what the checks expect is known to be what GoAkt does.
package selftest

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// node is a running node; the end of its standard input ends it.
type node struct {
	command *exec.Cmd
	stdin   io.Closer
	port    string
}

func build(t *testing.T) (nodeBinary, driveBinary string) {
	t.Helper()
	into := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", into, "../node", "../drive").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(into, "node"), filepath.Join(into, "drive")
}

func start(t *testing.T, binary, compression, port string) *node {
	t.Helper()
	command := exec.Command(binary, "--compression", compression, "--port", port)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	started := &node{command: command, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(line, "ready %s", &started.port); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return started
}

func (x *node) stop(t *testing.T) {
	t.Helper()
	_ = x.stdin.Close()
	if err := x.command.Wait(); err != nil {
		t.Errorf("node: %v", err)
	}
}

func driver(binary, suite, compression, port string, more ...string) *exec.Cmd {
	return exec.Command(binary, append([]string{"--suite", suite, "--system", "go", "--expect", "go",
		"--compression", compression, "--port", port}, more...)...)
}

// TestGoToGo runs every suite but restart with every compression.
func TestGoToGo(t *testing.T) {
	count := "100000"
	if testing.Short() {
		count = "5000"
	}
	nodeBinary, driveBinary := build(t)
	for _, compression := range []string{"none", "gzip", "zstd", "brotli"} {
		t.Run(compression, func(t *testing.T) {
			node := start(t, nodeBinary, compression, "0")
			defer node.stop(t)
			for _, suite := range []string{"operations", "errors", "grains", "headers", "senders", "frames", "mixed"} {
				t.Run(suite, func(t *testing.T) {
					out, err := driver(driveBinary, suite, compression, node.port, "--count", count).CombinedOutput()
					for line := range strings.Lines(string(out)) {
						if !strings.HasPrefix(line, "ok ") {
							t.Log(strings.TrimSpace(line))
						}
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// TestRestart restarts the node once the driver says that it is sending.
func TestRestart(t *testing.T) {
	nodeBinary, driveBinary := build(t)
	for _, how := range []string{"stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			node := start(t, nodeBinary, "zstd", "0")
			drive := driver(driveBinary, "restart", "zstd", node.port)
			stdout, err := drive.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := drive.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(stdout); lines.Scan(); {
				t.Log(lines.Text())
				if lines.Text() != "sending" {
					continue
				}
				if how == "killed" {
					_ = node.command.Process.Kill()
					_ = node.command.Wait()
				} else {
					node.stop(t)
				}
				node = start(t, nodeBinary, "zstd", node.port)
			}
			if err := drive.Wait(); err != nil {
				t.Error(err)
			}
			node.stop(t)
		})
	}
}
