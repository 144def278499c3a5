package main

import "sync"

// version is set by the build: -ldflags "-X main.version=...".
var version = "0.5.3"

// server answers the host: it is the connection, and everything that outlives connections hangs on it.
type server struct {
	port     transport
	out      frameWriter
	decoder  decoder
	hello    []byte
	guest    *guest
	children *reaper
	runtimes []*warmRuntime

	epoch     uint32 // of the present connection; used by the reading goroutine only
	parts     map[uint32][]byte
	partBytes int

	mu      sync.Mutex
	streams map[uint32]*stream
}

func newServer(port transport, g *guest, children *reaper, runtimes []*warmRuntime) *server {
	s := &server{port: port, guest: g, children: children, runtimes: runtimes}
	s.out.port = port
	s.out.buf = make([]byte, 0, headerSize+maxPayload)
	s.decoder.sink = s
	s.streams = map[uint32]*stream{}
	s.parts = map[uint32][]byte{}
	s.hello = helloMessage(runtimes)
	return s
}

func helloMessage(runtimes []*warmRuntime) []byte {
	b := append([]byte(nil), `{"protocol":1,"agent":`...)
	b = appendJSONString(b, []byte(version))
	b = append(b, `,"capabilities":["identity","ping","exec","eval","exec-stream"],"runtimes":[`...)
	for i, r := range runtimes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, []byte(r.name))
	}
	return append(b, "]}"...)
}

// serve reads until the channel itself fails. A host that goes away is no failure.
func (s *server) serve() error {
	buf := make([]byte, 32*1024)
	for {
		n, err := s.port.read(buf)
		if err != nil {
			return err
		}
		if n == 0 {
			s.decoder.reset()
			s.endConnection()
			continue
		}
		s.decoder.feed(buf[:n])
		s.out.flush()
	}
}

// endConnection detaches what is open; nothing of it is sent from here on.
func (s *server) endConnection() {
	s.epoch = s.out.newEpoch()
	s.mu.Lock()
	old := s.streams
	s.streams = map[uint32]*stream{}
	s.mu.Unlock()
	for _, st := range old {
		st.detach()
	}
	if len(s.parts) > 0 {
		s.parts = map[uint32][]byte{}
		s.partBytes = 0
	}
}

func (s *server) onSync(nonce []byte) {
	s.endConnection()
	s.out.answerSync(nonce, s.hello)
}

func (s *server) onViolation() { s.endConnection() }

func (s *server) onFrame(f frame) bool {
	if f.stream == 0 || f.stream > maxStream {
		return false
	}
	switch f.kind {
	case frameRequest, framePart:
		return s.onRequestFrame(f)
	case frameCancel:
		s.dropParts(f.stream)
	}
	st := s.lookup(f.stream)
	if st == nil {
		return true
	}
	switch f.kind {
	case frameCancel:
		st.cancel()
	case frameWindow:
		st.grant(f.channel, getUint32(f.payload))
	case frameSignal:
		return st.signal(getUint32(f.payload))
	case frameResize:
		if cells := getUint32(f.payload); st.program != nil {
			st.program.resize(terminalSize{rows: uint16(cells >> 16), cols: uint16(cells)})
		}
	case frameData, frameEnd:
		input := st.inputQueue()
		if input == nil {
			return true
		}
		if f.kind == frameData {
			return input.put(f.payload)
		}
		input.end()
	}
	return true
}

func (s *server) lookup(id uint32) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id]
}

func (s *server) onRequestFrame(f frame) bool {
	if s.lookup(f.stream) != nil {
		return false
	}
	earlier, split := s.parts[f.stream]
	if f.kind == framePart {
		s.partBytes += len(f.payload)
		if s.partBytes > maxMessage || (!split && len(s.parts) >= maxOpenRequests) {
			return false
		}
		s.parts[f.stream] = append(earlier, f.payload...)
		return true
	}
	message := f.payload
	if split {
		s.dropParts(f.stream)
		message = append(earlier, message...)
	}
	st := newStream(f.stream, s.epoch, &s.out)
	st.inline = true
	s.mu.Lock()
	full := len(s.streams) >= maxOpenRequests
	if !full {
		s.streams[f.stream] = st
	}
	s.mu.Unlock()
	if full {
		s.fail(st, failure{"internal", "too many requests are open"})
		return true
	}
	s.dispatch(st, message)
	return true
}

func (s *server) dropParts(id uint32) {
	if p, ok := s.parts[id]; ok {
		s.partBytes -= len(p)
		delete(s.parts, id)
	}
}

// handOver is called before another goroutine takes a stream on: what was said before it sends anything goes first.
func (s *server) handOver(st *stream) {
	st.inline = false
	s.out.flush()
}

// dispatch runs a method. What is quick runs on the reading goroutine, so that it is done before the next request.
func (s *server) dispatch(st *stream, message []byte) {
	method, params, problem := splitRequest(message)
	if problem != "" {
		s.fail(st, failure{"invalid", "the request is not valid: " + problem})
		return
	}
	switch method {
	case "identity":
		s.finish(st, s.identity, params)
	case "ping":
		s.finish(st, s.ping, params)
	case "exec":
		s.startExec(st, params)
	case "eval":
		s.startEval(st, params)
	default:
		s.fail(st, failure{"unknown_method", "this agent has no method " + quote(method)})
	}
}

func (s *server) finish(st *stream, method func(params []byte) ([]byte, *failure), params []byte) {
	result, f := method(params)
	if f != nil {
		s.fail(st, *f)
		return
	}
	s.respond(st, result)
}

// respond ends the stream with a result: a JSON object.
func (s *server) respond(st *stream, result []byte) {
	b := make([]byte, 0, len(result)+12)
	b = append(b, `{"result":`...)
	b = append(b, result...)
	s.close(st, append(b, '}'))
}

func (s *server) fail(st *stream, f failure) {
	b := append([]byte(nil), `{"error":{"code":`...)
	b = appendJSONString(b, []byte(f.code))
	b = append(b, `,"message":`...)
	b = appendJSONString(b, []byte(f.message))
	s.close(st, append(b, "}}"...))
}

func (s *server) close(st *stream, response []byte) {
	s.mu.Lock()
	if s.streams[st.id] == st {
		delete(s.streams, st.id)
	}
	s.mu.Unlock()
	if st.inline && len(response) <= maxPayload {
		s.out.batch = appendFrame(s.out.batch, frameResponse, 0, st.id, response)
		return
	}
	if st.inline {
		s.out.flush()
	}
	s.out.sendMessage(st.epoch, frameResponse, st.id, response)
}
