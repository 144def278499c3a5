package main

import "sync"

// turns lets one at a time in, in the order they came.
type turns struct {
	mu    sync.Mutex
	queue []chan struct{} // the first one has its turn, and is closed
}

// enter takes a place; the channel is closed when it is this one's turn. Each place is to be left, once.
func (t *turns) enter() chan struct{} {
	place := make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queue = append(t.queue, place); len(t.queue) == 1 {
		close(place)
	}
	return place
}

func (t *turns) leave(place chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, p := range t.queue {
		if p != place {
			continue
		}
		t.queue = append(t.queue[:i], t.queue[i+1:]...)
		if i == 0 && len(t.queue) > 0 {
			close(t.queue[0])
		}
		return
	}
}
