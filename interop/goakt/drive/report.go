package main

import (
	"fmt"
	"io"
	"strings"
)

// report writes one line for each check and counts them.
type report struct {
	out            io.Writer
	passed, failed int
}

func (x *report) check(name string, err error) {
	if err == nil {
		x.passed++
		fmt.Fprintf(x.out, "ok %s\n", name)
		return
	}
	x.failed++
	fmt.Fprintf(x.out, "FAIL %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " / "))
}

func (x *report) end() {
	fmt.Fprintf(x.out, "%d passed, %d failed\n", x.passed, x.failed)
}
