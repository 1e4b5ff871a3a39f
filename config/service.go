package config

import (
	"net/netip"
	"time"

	"muster/cluster"
)

// A Service is what the cluster offers to its clients.
type Service struct {
	Name          string
	VIP           netip.Addr       `key:"vip,shown" eg:"10.0.0.100" doc:"The address of the service, which the cluster owns, not a machine. It needs ports. Give either vip or listen."`
	Listen        []netip.AddrPort `key:"listen" eg:"127.0.0.1:8080" count:"1..64" doc:"Addresses and ports that every director already has and listens on. Give either vip or listen. Only for dispatch proxy."`
	Ports         []Port           `key:"ports,shown" eg:"80" count:"1..64" alone:"all" doc:"The ports on the VIP. all is every port that no other service of the VIP has; only for dispatch in the kernel."`
	Kind          cluster.Kind     `key:"kind" default:"http" doc:"What clients speak: http is understood request by request, tcp is carried as it comes; with dispatch in the kernel both are TCP and nothing more. udp is only for dispatch in the kernel."`
	Dispatch      cluster.Dispatch `key:"dispatch" default:"proxy" doc:"How a request travels to its node. proxy: the director asks the node and passes the answer on. The others are dispatch in the kernel, packet by packet. dr: a new MAC address, on the LAN that director and nodes share; tunnel: inside another packet, through any network; with both the node has the VIP too and replies straight to the client. nat: a new address, and replies come back through the director."`
	WithoutXDP    Without          `key:"without-xdp" default:"refuse" only:"dr,tunnel,nat" doc:"What a director does whose kernel or port cannot dispatch packets: refuse the service and say why, or proxy it."`
	Schedule      Schedule         `key:"schedule" default:"has" doc:"Which node gets a request."`
	Floor         Percent          `key:"floor" default:"2%" range:"0%..100%" doc:"No node that is up gets less than this part of an even share."`
	Pool          string           `key:"pool,required" eg:"web" ref:"pools" doc:"The nodes that serve it."`
	Tunnel        Tunnel           `key:"tunnel" only:"tunnel" doc:"How packets travel inside others."`
	Flows         Flows            `key:"flows" only:"dr,tunnel,nat" doc:"When a connection that the director passes on is over, and what becomes of it when its node is lost."`
	Sources       Sources          `key:"sources" only:"dr,tunnel,nat" doc:"Who may come in, and how often."`
	Threads       int              `key:"threads" from:"threads" range:"1..256" zero:"one per core" only:"proxy" doc:"How many loops serve it on a director."`
	Limits        Limits           `key:"limits" only:"proxy" doc:"What one director takes on."`
	Timeouts      Timeouts         `key:"timeouts" only:"proxy" doc:"How long to wait for whom."`
	Retry         Retry            `key:"retry" only:"proxy" doc:"When a node fails: whether and where to ask again."`
	Forwarded     []ForwardHeader  `key:"forwarded" default:"x-forwarded,forwarded,via" count:"0..3" only:"http,proxy" doc:"Header fields that tell the application who asks: X-Forwarded-For, -Proto and -Host; Forwarded (RFC 7239); Via (RFC 9110)."`
	ProxyProtocol ProxyProtocol    `key:"proxy-protocol" only:"proxy" doc:"The PROXY protocol, which tells the client's address ahead of its bytes."`
	Fallback      *Fallback        `key:"fallback" only:"proxy" doc:"What clients get when no node of the pool can serve; without it, 503 (http) or a closed connection (tcp)."`
	AccessLog     AccessLog        `key:"access-log" only:"proxy" doc:"One line for each request (http) or connection (tcp)."`
}

// Limits bound what one director takes on for a service.
type Limits struct {
	Connections           int   `key:"connections" default:"10000" range:"1..1000000" doc:"The most client connections at a time; one more is answered 503 (http) or closed (tcp) at once."`
	ConnectionsPerSource  int   `key:"connections-per-source" default:"0" range:"1..1000000" zero:"no limit" doc:"The most connections at a time from one client address."`
	Head                  Bytes `key:"head" default:"16KiB" range:"1KiB..1MiB" only:"http" doc:"The largest head of a request or a response."`
	Headers               int   `key:"headers" default:"100" range:"1..10000" only:"http" doc:"The most header fields in a head."`
	Queue                 int   `key:"queue" default:"1000" range:"1..1000000" zero:"none wait, 503 at once" doc:"How many requests or connections may wait for a node when all are at their limit."`
	BodyRate              Bytes `key:"body-rate" default:"500" range:"1..1GiB" zero:"no limit" only:"http" doc:"Bytes a second at which the body of a request must come, on average, once timeouts.stall is over."`
	RequestsPerConnection int   `key:"requests-per-connection" default:"0" range:"1..1000000000" zero:"no limit" only:"http" doc:"A client connection is closed after so many requests."`
}

// Timeouts say how long to wait for whom.
type Timeouts struct {
	Head     time.Duration `key:"head" default:"10s" range:"1ms..24h" only:"http" doc:"For the client to send a whole request head."`
	Idle     time.Duration `key:"idle" default:"60s" range:"1ms..24h" only:"http" doc:"For the next request on a client's connection."`
	Connect  time.Duration `key:"connect" default:"1s" range:"1ms..10m" doc:"For a node to accept a connection."`
	Response time.Duration `key:"response" default:"30s" range:"1ms..24h" only:"http" doc:"For a node to begin its response once it has the request."`
	Stall    time.Duration `key:"stall" default:"30s" range:"1ms..24h" only:"http" doc:"For the next bytes of a body, in either direction."`
	Queue    time.Duration `key:"queue" default:"5s" range:"1ms..24h" doc:"For a place at a node when all are at their limit."`
	Tunnel   time.Duration `key:"tunnel" default:"1h" range:"1ms..720h" doc:"For bytes in either direction on a tcp connection, or after an upgrade such as WebSocket."`
}

// Retry says whether a request that a node failed is given to another.
type Retry struct {
	Attempts   int     `key:"attempts" default:"3" range:"1..10" doc:"How many nodes are asked for one request, the first included; 1 is no retry."`
	Idempotent bool    `key:"idempotent" default:"true" only:"http" doc:"Whether an idempotent request (RFC 9110 9.2.2) is asked again though a node may have acted on it. Whatever no node can have acted on is always asked again."`
	Budget     Percent `key:"budget" default:"20%" range:"0%..100%" doc:"The most retries, as a part of all requests, so that a failing pool is not buried in them."`
}

// ProxyProtocol is the PROXY protocol on both sides of a director.
type ProxyProtocol struct {
	Accept bool           `key:"accept" default:"false" doc:"Whether connections from trusted sources begin with a PROXY header."`
	Trust  []netip.Prefix `key:"trust" eg:"10.0.0.0/8" count:"0..256" doc:"The networks whose PROXY header is believed. Others are clients themselves."`
	Send   ProxyHeader    `key:"send" default:"none" doc:"The PROXY header that nodes get."`
}

// A Fallback is what clients get when no node can serve: one of Address and Status is set.
type Fallback struct {
	Address  netip.AddrPort `key:"address" eg:"10.0.0.250:80" doc:"A server outside the pool that takes the request. Give either address or status."`
	Status   int            `key:"status" eg:"503" range:"200..599" only:"http" doc:"The status code of an answer that the director gives itself. Give either address or status."`
	BodyFile string         `key:"body-file" eg:"sorry.html" as:"path" only:"http" doc:"The body of that answer, up to 1 MiB."`
}

// AccessLog is the log of requests or connections.
type AccessLog struct {
	Format AccessFormat `key:"format" default:"off" doc:"combined is the Combined Log Format with timers after it; json is an object a line."`
	File   string       `key:"file" default:"-" as:"output" doc:"Where the lines go; - is standard error."`
}
