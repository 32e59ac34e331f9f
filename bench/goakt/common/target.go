package common

import (
	"fmt"
	"time"
)

// settleLimit is longer than any note that arrives needs, once all are sent.
const settleLimit = 20 * time.Second

var (
	smallNote = &Note{Payload: payload(smallLen)}
	smallEcho = &Echo{Payload: payload(smallLen)}
	bulkNote  = &Note{Payload: payload(bulkLen)}
)

// tellMany sends the note so many times: each alone, or in batches if they are larger than 1.
func tellMany(to Target, note *Note, count, batch int) error {
	if batch == 1 {
		return repeat(count, func() error { return to.Tell(note) })
	}
	for ; count > 0; count -= batch {
		if err := to.TellBatch(note, min(count, batch)); err != nil {
			return err
		}
	}
	return nil
}

// echo is work that asks for one echo.
func echo(from Target) func() error {
	return func() error {
		return echoed(from.Ask(smallEcho))
	}
}

func echoed(answer any, err error) error {
	if err != nil {
		return err
	}
	echo, is := answer.(*Echo)
	if !is || len(echo.Payload) != smallLen {
		return fmt.Errorf("an echo of %d bytes was answered otherwise, with a %T", smallLen, answer)
	}
	return nil
}

// counted sums up how many notes have come to these targets.
func counted(targets []Target) (sum uint64, err error) {
	for _, target := range targets {
		answer, err := target.Ask(new(Count))
		if err != nil {
			return 0, err
		}
		counted, is := answer.(*Counted)
		if !is {
			return 0, fmt.Errorf("a count was answered with %T", answer)
		}
		sum += counted.Notes
	}
	return sum, nil
}

// counting runs work that sends notes to these targets, and returns when all it says to have sent
// have arrived. An ask may overtake notes that are still on their way, so it asks until then.
func counting(targets []Target, work func() (sent int, err error)) error {
	before, err := counted(targets)
	if err != nil {
		return err
	}
	sent, err := work()
	if err != nil {
		return err
	}
	for began := time.Now(); ; {
		after, err := counted(targets)
		if err != nil {
			return err
		}
		arrived := after - before
		if arrived == uint64(sent) {
			return nil
		}
		if arrived > uint64(sent) || time.Since(began) > settleLimit {
			return fmt.Errorf("%d messages were sent, %d were counted", sent, arrived)
		}
	}
}
