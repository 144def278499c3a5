package main

func splitRequest(message []byte) (method string, params []byte, problem string) {
	r := jsonReader{text: message}
	r.object(func(key string) {
		switch key {
		case "method":
			method = r.string()
		case "params":
			params = r.value()
		default:
			r.skip()
		}
	})
	r.end()
	return method, params, r.problem
}

// readParams decodes params; member reads the value of a key, or returns false to have it skipped.
func readParams(params []byte, member func(r *jsonReader, key string) bool) *failure {
	if len(params) == 0 {
		return nil
	}
	r := &jsonReader{text: params}
	r.object(func(key string) {
		// null is as good as nothing for all members.
		if r.literal("null") {
			return
		}
		if !member(r, key) {
			r.skip()
		}
	})
	if r.problem != "" {
		return invalid("params: " + r.problem)
	}
	return nil
}

// failure is the error of a RESPONSE.
type failure struct {
	code    string
	message string
}

func invalid(message string) *failure { return &failure{"invalid", message} }

func cancelledFailure() failure { return failure{"cancelled", "the request was cancelled"} }
