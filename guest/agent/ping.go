package main

func (s *server) ping(params []byte) ([]byte, *failure) {
	numpy, ready := "not-installed", true
	for _, r := range s.runtimes {
		up, version := r.status()
		ready = ready && up
		if version != "" {
			numpy = version
		}
	}
	b := append([]byte(nil), `{"pong":true,"pid":`...)
	b = appendInt(b, int64(s.guest.pid))
	b = append(b, `,"agent_lang":"python","numpy_version":`...)
	b = appendJSONString(b, []byte(numpy))
	b = append(b, `,"warmup_ready":`...)
	b = appendBool(b, ready)
	return append(b, '}'), nil
}
