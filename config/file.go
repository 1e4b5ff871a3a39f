package config

import (
	"net/netip"
	"time"

	"muster/cluster"
)

// A File is a whole cluster.yaml, checked and complete. It is not to be changed once it has been read. Its paths are
// absolute. The order of nodes, pools and services is that of the file.
//
// Keys that others take their value from stand before those.
type File struct {
	Cluster  string    `key:"cluster,required" eg:"shop" as:"name" doc:"The name of the cluster."`
	Key      string    `key:"key,required" eg:"cluster.key" as:"path" doc:"The file with the cluster's key: 64 hexadecimal digits, mode 0600, the same on every node."`
	State    string    `key:"state" default:"/var/lib/muster" as:"path" doc:"The directory where a node keeps what must survive its restart."`
	Threads  int       `key:"threads" default:"0" range:"1..256" zero:"one per core" doc:"How many loops serve each service, where the service does not say."`
	Ports    Ports     `key:"ports" doc:"Where nodes listen for each other, on every one of their addresses."`
	Timings  Timings   `key:"timings" doc:"The clocks of the cluster."`
	Log      Log       `key:"log" doc:"The program's own log, on standard error."`
	VIPs     VIPs      `key:"vips" default:"hold" doc:"Who puts VIPs on a director's port. hold: Muster, on the first director of the file, where it may (CAP_NET_ADMIN) and the machine does not have them. leave: something else does, and Muster touches no address of a director."`
	Packets  Packets   `key:"packets" doc:"Dispatch in the kernel: how, and how much a director keeps in mind for it."`
	Nodes    []Node    `key:"nodes,required" eg:"t1" count:"1..4096" doc:"The machines of the cluster."`
	Checks   []Check   `key:"checks" eg:"page" count:"0..1024" doc:"How an application is asked whether it works."`
	Pools    []Pool    `key:"pools" eg:"web" count:"0..1024" doc:"Sets of traffic nodes that run the same application."`
	Services []Service `key:"services" eg:"www" count:"0..1024" doc:"What the cluster offers to its clients."`
}

// Ports are where a node listens for the other nodes.
type Ports struct {
	Report uint16 `key:"report" default:"7947" doc:"UDP port for load reports."`
	Admin  uint16 `key:"admin" default:"7946" doc:"TCP port for the API and the metrics."`
}

// Timings are the clocks of the cluster.
type Timings struct {
	Report    time.Duration `key:"report" default:"200ms" range:"10ms..1m" doc:"How often a traffic node reports its load to every director."`
	Timeout   time.Duration `key:"timeout" default:"700ms" range:"20ms..10m" doc:"A node that is silent for this long is out. Longer than report; three times as long forgives two lost reports."`
	SlowStart time.Duration `key:"slow-start" default:"10s" range:"1ms..1h" zero:"the whole share at once" doc:"How long a node that comes back takes to grow to its whole share."`
	Drain     time.Duration `key:"drain" default:"30s" range:"1ms..24h" zero:"end them at once" doc:"How long a node that stops lets its requests and connections finish."`
}

// Log is the program's own log.
type Log struct {
	Level  Level     `key:"level" default:"info" doc:"The least level that is written."`
	Format LogFormat `key:"format" default:"text" doc:"How a line is written."`
}

// A Node is one machine of the cluster.
type Node struct {
	Name         string
	Addresses    []netip.Addr   `key:"addresses,required" eg:"10.0.0.11,10.1.0.11" count:"1..8" doc:"One address per LAN, in the same order of LANs at every node. Applications listen on the first."`
	Roles        []cluster.Role `key:"roles,required" eg:"director,traffic" count:"1..2" doc:"What the node does: a director takes clients in, a traffic node runs the application."`
	Interfaces   []string       `key:"interfaces" eg:"eth0" count:"0..16" doc:"The network ports where packets come in that are dispatched in the kernel, and, at a traffic node, those that are for VIPs. Without it, the ports that have the node's addresses."`
	Weight       int            `key:"weight" default:"100" range:"0..1000" doc:"The node's share beside its peers. A node with weight 0 gets no new work."`
	Ports        Ports          `key:"ports" from:"ports" doc:"Where this node listens for the others."`
	Applications []Override     `key:"applications" eg:"web" count:"0..1024" ref:"pools" doc:"What this node runs for a pool, in place of the pool's own application. The keys are names of pools."`
}

// An Override is what one node runs for a pool, in place of the pool's application.
type Override struct {
	Name string // of the pool
	Application
}

// A Pool is a set of traffic nodes that run the same application.
type Pool struct {
	Name        string
	Nodes       []string     `key:"nodes,required" eg:"t1" count:"1..4096" ref:"nodes" doc:"The pool's nodes, all with the role traffic."`
	Port        uint16       `key:"port,required" eg:"8080" doc:"Where the application listens, on the first address of each node. With dispatch dr and tunnel packets keep their port: there the application listens on the ports of the VIP, this one among them; with nat on the node's address of the VIP's family. The built-in web server does so by itself."`
	Check       string       `key:"check" eg:"page" ref:"checks" doc:"How the application is asked whether it works. Without a check, an application that something else runs is asked for a TCP connection."`
	Limit       int          `key:"limit" default:"0" range:"1..1000000" zero:"no limit" doc:"The most requests (http) or connections (tcp, udp, and with dispatch in the kernel) that one node has at a time."`
	Application *Application `key:"application" doc:"What Muster starts on each node. Without it, something else runs the application."`
	Zone        *Zone        `key:"zone" doc:"Lets nodes of other pools move here by load."`
}

// An Application is what a traffic node starts for a pool: one of the two is not nil.
type Application struct {
	Serve *Serve `key:"serve" doc:"The built-in web server, for a tree of files."`
	Run   *Run   `key:"run" doc:"A program, started and kept running."`
}

// Serve is the built-in web server.
type Serve struct {
	Root       string   `key:"root,required" eg:"/srv/www" as:"path" doc:"The directory whose files are served."`
	Index      []string `key:"index" default:"index.html" count:"0..16" doc:"The files that answer for a directory; the first that exists is taken."`
	Listing    bool     `key:"listing" default:"false" doc:"Whether a directory without an index file is listed; it is 403 otherwise."`
	NameHeader bool     `key:"name-header" default:"false" doc:"Whether every answer says in X-Muster-Node which node gave it."`
	Cache      Bytes    `key:"cache" default:"64MiB" range:"4KiB..1024GiB" zero:"no cache" doc:"The most memory that small files are kept in."`
	Threads    int      `key:"threads" default:"0" range:"1..256" zero:"one per core" doc:"How many loops serve."`
}

// Run is a program that is started, watched, and started again when it ends or fails its check.
type Run struct {
	Command     []string          `key:"command,required" eg:"nginx,-g,daemon off;" count:"1..256" as:"text" repeat:"yes" doc:"The program, and one element for each argument; no shell reads it. The program must stay in the foreground."`
	Dir         string            `key:"dir" default:"/" as:"path" doc:"The working directory."`
	Env         map[string]string `key:"env" eg:"TZ=UTC" count:"0..1024" as:"text" doc:"Environment variables, beside Muster's own."`
	User        string            `key:"user" eg:"www-data" doc:"The user to run as; without it, the user that Muster runs as. To change it takes root."`
	StopSignal  Signal            `key:"stop-signal" default:"TERM" doc:"The signal that asks the program to end."`
	StopTimeout time.Duration     `key:"stop-timeout" default:"10s" range:"1ms..1h" doc:"A program that has not ended by then is killed."`
	BackoffMin  time.Duration     `key:"backoff-min" default:"200ms" range:"1ms..1h" doc:"The wait before the first restart; it doubles each time."`
	BackoffMax  time.Duration     `key:"backoff-max" default:"30s" range:"1ms..24h" doc:"The longest wait before a restart."`
}

// A Zone lets the nodes of other pools serve this one for as long as it is busy.
type Zone struct {
	BorrowFrom []string      `key:"borrow-from,required" eg:"media" count:"1..16" ref:"pools" doc:"The pools whose nodes may move here."`
	Above      Percent       `key:"above" default:"80%" range:"1%..100%" doc:"This pool borrows a node when its nodes are busier than this."`
	Below      Percent       `key:"below" default:"50%" range:"0%..99%" doc:"It gives one back when they are less busy than this."`
	Keep       int           `key:"keep" default:"1" range:"0..4096" doc:"How many active nodes a lender is left with, at least."`
	Hold       time.Duration `key:"hold" default:"30s" range:"100ms..24h" doc:"How long the pool must be above or below, and how long after a move none follows."`
}

// A Check asks an application whether it works.
type Check struct {
	Name       string
	Kind       CheckKind         `key:"kind,required" eg:"http" doc:"tcp: connects. http, https: asks for a page. exec: runs a command, which says by exit code 0 that all is well."`
	Path       string            `key:"path" default:"/" only:"http,https" doc:"What to ask for."`
	Host       string            `key:"host" eg:"shop.example" only:"http,https" doc:"The Host of the request; without it, the address that is asked."`
	Method     Method            `key:"method" default:"GET" only:"http,https" doc:"The method of the request."`
	Status     []Statuses        `key:"status" default:"200-399" count:"1..16" only:"http,https" doc:"The codes that mean: it works."`
	Body       string            `key:"body" eg:"Welcome" as:"text" only:"http,https" doc:"Text that the first 64 KiB of the answer must contain."`
	Headers    map[string]string `key:"headers" eg:"X-Check=1" count:"0..64" only:"http,https" doc:"Further header fields of the request."`
	Verify     bool              `key:"verify" default:"true" only:"https" doc:"Whether the certificate must be valid."`
	ServerName string            `key:"server-name" eg:"shop.example" only:"https" doc:"The name that the certificate must have and that TLS asks for; without it, host."`
	Command    []string          `key:"command,required" eg:"/usr/bin/pg_isready,-q" count:"1..256" as:"text" repeat:"yes" only:"exec" doc:"The program, and one element for each argument; no shell reads it."`
	Port       uint16            `key:"port" default:"0" range:"1..65535" zero:"the pool's port" only:"tcp,http,https" doc:"Where to ask, on the node's first address."`
	Interval   time.Duration     `key:"interval" default:"1s" range:"10ms..1h" doc:"How often to ask."`
	Timeout    time.Duration     `key:"timeout" default:"500ms" range:"1ms..1h" doc:"An answer that takes longer is none. At most interval."`
	Rise       int               `key:"rise" default:"2" range:"1..100" doc:"How many good answers in a row bring the application up."`
	Fall       int               `key:"fall" default:"2" range:"1..100" doc:"How many bad answers in a row bring it down."`
}
