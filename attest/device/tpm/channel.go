package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
)

const (
	// maxResponse is in bytes; the kernel's buffer has the same size.
	maxResponse = 4096
	// headerSize is tag, size and code (TPM 2.0 Part 1, 18.1).
	headerSize = 10
	// commandTime is for the slowest commands, such as making an RSA key.
	commandTime = 60 * time.Second
	// busyTries and busyWait bound how often a busy TPM is asked again; the wait
	// doubles.
	busyTries = 8
	busyWait  = 10 * time.Millisecond
)

// exchange sends one command and returns its response.
type exchange func(ctx context.Context, command []byte) ([]byte, error)

// socketExchange dials for each command: an emulator has one client at a time,
// and this one should not keep others out between commands.
func socketExchange(path string) exchange {
	return func(ctx context.Context, command []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		if _, err := conn.Write(command); err != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		header := make([]byte, headerSize)
		if _, err := io.ReadFull(conn, header); err != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		size := binary.BigEndian.Uint32(header[2:])
		if size < headerSize || size > maxResponse {
			return nil, fmt.Errorf("a response of %d bytes", size)
		}
		response := append(header, make([]byte, size-headerSize)...)
		if _, err := io.ReadFull(conn, response[headerSize:]); err != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
		return response, nil
	}
}

// fileExchange uses an open device file, which must be in blocking mode: the
// driver then runs the command within write.
func fileExchange(f io.ReadWriter) exchange {
	return func(ctx context.Context, command []byte) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := f.Write(command); err != nil {
			return nil, err
		}
		response := make([]byte, maxResponse)
		n, err := f.Read(response)
		if err != nil {
			return nil, err
		}
		if n < headerSize {
			return nil, fmt.Errorf("a response of %d bytes", n)
		}
		return response[:n], nil
	}
}

// openBlocking keeps the runtime from switching the file to non-blocking mode,
// in which a read before the answer is there looks like the end of the file.
func openBlocking(path string) (*os.File, error) {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// patient repeats a command while the TPM says that it is busy.
func patient(send exchange) exchange {
	return func(ctx context.Context, command []byte) ([]byte, error) {
		wait := busyWait
		for try := 1; ; try++ {
			response, err := send(ctx, command)
			if err != nil || try == busyTries || !busy(response) {
				return response, err
			}
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil, ctx.Err()
			case <-timer.C:
			}
			wait *= 2
		}
	}
}

func busy(response []byte) bool {
	switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])) {
	case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting:
		return true
	}
	return false
}

// isFlush reports whether a command frees something. It is sent even when the
// caller has given up, so that nothing stays behind.
func isFlush(command []byte) bool {
	return len(command) >= headerSize && tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) == tpm2.TPMCCFlushContext
}
