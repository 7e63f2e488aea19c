// Package lines is what clients in Go share: lines in, lines out, the end of standard input.
package lines

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	Partitions = 4
	Session    = 6 * time.Second
	Patience   = 60 * time.Second
)

var lock sync.Mutex

// Given returns the lines of standard input.
func Given() []string {
	text, err := io.ReadAll(os.Stdin)
	Check(err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// Tell prints a value.
func Tell(value []byte) {
	lock.Lock()
	defer lock.Unlock()
	fmt.Println(string(value))
}

// Left is closed at the end of standard input: the word to leave.
func Left() <-chan struct{} {
	left := make(chan struct{})
	go func() {
		for in := bufio.NewReader(os.Stdin); ; {
			if _, err := in.ReadByte(); err != nil {
				close(left)
				return
			}
		}
	}()
	return left
}

func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
