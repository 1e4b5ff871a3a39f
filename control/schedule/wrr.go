package schedule

// Weighted round robin: LVS `wrr`, in a smooth order as NGINX takes turns (see turns).
var wrr = kind{
	name:   "wrr",
	what:   "each node in turn, as often as its weight says",
	weigh:  configured,
	slots:  byTurns,
	choose: byTurn,
}
