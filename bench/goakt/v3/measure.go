package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// measured is what the harness reads.
type measured struct {
	Count            int      `json:"count"`
	Seconds          float64  `json:"seconds"`
	ClientCPUSeconds float64  `json:"client_cpu_seconds"`
	ServerCPUSeconds float64  `json:"server_cpu_seconds"`
	ClientPeakBytes  uint64   `json:"client_peak_bytes"`
	ServerPeakBytes  uint64   `json:"server_peak_bytes"`
	Figures          []figure `json:"figures"`
}

type figure struct {
	Name         string  `json:"name"`
	Value        float64 `json:"value"`
	MoreIsBetter bool    `json:"more_is_better"`
}

func rate(name string, value float64) figure { return figure{name, value, true} }
func cost(name string, value float64) figure { return figure{name, value, false} }

// latencies are the median and the 99th percentile.
func latencies(took []time.Duration) []figure {
	slices.Sort(took)
	at := func(fraction float64) float64 {
		rank := int(math.Ceil(float64(len(took)) * fraction))
		return float64(took[max(rank, 1)-1].Nanoseconds()) / 1e3
	}
	return []figure{cost("p50 µs", at(0.5)), cost("p99 µs", at(0.99))}
}

// clock runs from start to stop and knows the CPU time that both sides had used when it started.
type clock struct {
	count          int
	servers        []int
	client, server time.Duration
	began          time.Time
}

func startClock(count int, servers []int) (*clock, error) {
	client, err := cpuTime(os.Getpid())
	if err != nil {
		return nil, err
	}
	server, err := cpuTime(servers...)
	if err != nil {
		return nil, err
	}
	return &clock{count, servers, client, server, time.Now()}, nil
}

// stop gets the time that passed and gives the figures of it.
func (c *clock) stop(figures func(seconds float64) []figure) (*measured, error) {
	seconds := time.Since(c.began).Seconds()
	client, err := cpuTime(os.Getpid())
	if err != nil {
		return nil, err
	}
	server, err := cpuTime(c.servers...)
	if err != nil {
		return nil, err
	}
	clientPeak, err := memory("VmHWM", os.Getpid())
	if err != nil {
		return nil, err
	}
	serverPeak, err := memory("VmHWM", c.servers...)
	if err != nil {
		return nil, err
	}
	return &measured{
		Count:            c.count,
		Seconds:          seconds,
		ClientCPUSeconds: (client - c.client).Seconds(),
		ServerCPUSeconds: (server - c.server).Seconds(),
		ClientPeakBytes:  clientPeak,
		ServerPeakBytes:  serverPeak,
		Figures:          figures(seconds),
	}, nil
}

// cpuTime is what all threads of these processes have used, user and system.
func cpuTime(pids ...int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		var now unix.Timespec
		// The clock of a process, as clock_getcpuclockid(3) makes it of a process id.
		if err := unix.ClockGettime(int32(^pid<<3|2), &now); err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		sum += time.Duration(now.Nano())
	}
	return sum, nil
}

// memory adds up one entry of /proc/PID/status, in bytes.
func memory(entry string, pids ...int) (uint64, error) {
	var sum uint64
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, rest, found := strings.Cut(string(status), "\n"+entry+":")
		fields := strings.Fields(rest)
		if !found || len(fields) == 0 {
			return 0, fmt.Errorf("process %d tells no %s", pid, entry)
		}
		kilobytes, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += kilobytes * 1024
	}
	return sum, nil
}
