package common

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

func gain(name string, value float64) figure { return figure{name, value, true} }
func cost(name string, value float64) figure { return figure{name, value, false} }

func megabytes(messages int, seconds float64) figure {
	return gain("MB/s", float64(messages)*bulkLen/1e6/seconds)
}

// latencies are the median and the 99th percentile.
func latencies(took []time.Duration) []figure {
	return []figure{cost("p50 µs", percentile(took, 0.5)*1e6), cost("p99 µs", percentile(took, 0.99)*1e6)}
}

// percentile sorts, and tells in seconds what that fraction does not exceed.
func percentile(took []time.Duration, fraction float64) float64 {
	slices.Sort(took)
	rank := int(math.Ceil(float64(len(took)) * fraction))
	return took[max(rank, 1)-1].Seconds()
}

// clock runs from its start on, and knows the CPU time that both sides had used by then.
type clock struct {
	opts           Options
	client, server time.Duration
	began          time.Time
}

func startClock(opts Options) (*clock, error) {
	client, err := cpuTime(os.Getpid())
	if err != nil {
		return nil, err
	}
	server, err := cpuTime(opts.serverPIDs...)
	if err != nil {
		return nil, err
	}
	return &clock{opts, client, server, time.Now()}, nil
}

func (c *clock) seconds() float64 {
	return time.Since(c.began).Seconds()
}

// stop is for work whose figure is a rate of its messages.
func (c *clock) stop(name string) (*measured, error) {
	return c.stopWith(c.opts.count, gain(name, float64(c.opts.count)/c.seconds()))
}

// stopWith is for work of which count was done and figures were found.
func (c *clock) stopWith(count int, figures ...figure) (*measured, error) {
	m := &measured{Count: count, Seconds: c.seconds(), Figures: figures}
	client, err := cpuTime(os.Getpid())
	if err != nil {
		return nil, err
	}
	server, err := cpuTime(c.opts.serverPIDs...)
	if err != nil {
		return nil, err
	}
	m.ClientCPUSeconds = (client - c.client).Seconds()
	m.ServerCPUSeconds = (server - c.server).Seconds()
	if m.ClientPeakBytes, err = memory("VmHWM", os.Getpid()); err != nil {
		return nil, err
	}
	m.ServerPeakBytes, err = memory("VmHWM", c.opts.serverPIDs...)
	return m, err
}

// rate is how much of the work is done in a second, warm-up apart.
func rate(name string, opts Options, work func(count int) error) (*measured, error) {
	if err := work(opts.warmUp()); err != nil {
		return nil, err
	}
	clock, err := startClock(opts)
	if err != nil {
		return nil, err
	}
	if err := work(opts.count); err != nil {
		return nil, err
	}
	return clock.stop(name)
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
