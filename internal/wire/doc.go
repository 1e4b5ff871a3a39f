// Package wire carries datagrams between parties that share one key: sealed, never accepted twice, and never from a past
// life of their sender.
//
// Each datagram is XChaCha20-Poly1305 under a key that HKDF derives for one purpose, one sender and one receiver; its
// nonce is the sender's random session and a sequence number, so no nonce is used twice under one key. A receiver keeps a
// window over the sequences of the session that it has accepted. It accepts another session only from a datagram that
// echoes the challenge that it drew for that sender, and then draws a new one: what was recorded of an earlier session
// stays worthless, and no clock is asked.
//
// XChaCha20-Poly1305 rather than AES-256-GCM: its nonce has room for the session, so a datagram of an unknown session
// costs no more than any other. A key per session, which the shorter nonce of GCM would need, costs 1.4 µs and 2 kB each
// time somebody makes up a session; opening 200 bytes costs 0.4 µs here and 0.2 µs there.
//
// docs/wire-format.md has the bytes.
package wire
