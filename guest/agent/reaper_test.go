package main

import (
	"testing"
)

func TestReaperTakesOrphans(t *testing.T) {
	c := startPlainAgent(t)
	var pids []int
	for i := 0; i < 10; i++ {
		// The grandchild is left to the agent when its parent ends, and ends after it.
		pids = append(pids, parsePID(t, c.sh("(sleep 0.05 >/dev/null 2>&1 & echo $!)").stdout))
		if r := c.sh("exit 3"); r.exitCode() != 3 {
			t.Fatalf("a status was lost: %+v", r.Result)
		}
	}
	for _, pid := range pids {
		processGone(t, pid)
	}
}
