// A goroutine a client: reads that look as if they blocked, and the runtime's netpoller below.
package main

import (
	"fmt"
	"net"
	"os"
)

// Set by the linker: the paper's server reads 1024 bytes and writes them quoted.
var original string

func serve(client net.Conn) {
	defer client.Close()
	size := 4096
	if original != "" {
		size = 1024
	}
	buffer := make([]byte, size)
	for {
		got, err := client.Read(buffer)
		if got > 0 && original != "" {
			fmt.Printf("%q", buffer[:got])
		} else if got > 0 {
			os.Stdout.Write(buffer[:got])
		}
		if err != nil {
			return
		}
	}
}

func main() {
	listening, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, listening.Addr().(*net.TCPAddr).Port)
	for {
		client, err := listening.Accept()
		if err == nil {
			go serve(client)
		}
	}
}
