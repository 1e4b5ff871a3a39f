package cluster

// A Kind is what protocol a service speaks with its clients.
type Kind string

// The kinds of service.
const (
	HTTP Kind = "http"
	TCP  Kind = "tcp"
)

// Kinds lists every kind of service.
func Kinds() []Kind { return []Kind{HTTP, TCP} }

// A Dispatch is how a request travels to its node.
type Dispatch string

// Proxy: the director ends the client's connection and speaks to the node on one of its own.
const Proxy Dispatch = "proxy"

// Dispatches lists every way of dispatch.
func Dispatches() []Dispatch { return []Dispatch{Proxy} }
