module bench/goakt/tls

go 1.26.0

replace bench/goakt/common => ../common

require (
	bench/goakt/common v0.0.0
	google.golang.org/protobuf v1.36.11
)

require (
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
