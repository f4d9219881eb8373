package config

import (
	"net"
	"slices"
	"strconv"
)

const adminRule = "HOST:PORT such as 127.0.0.1:4001, or off"

// Admin returns the TCP address for operators; false means that there is none.
func (c Config) Admin() (address string, on bool) {
	return c.AdminAddress, c.AdminAddress != off
}

// validateObserve checks what operators watch docker-sd with.
func (c Config) validateObserve() error {
	if !slices.Contains([]LogFormat{LogFormatText, LogFormatJSON}, c.LogFormat) {
		return invalid("LogFormat", string(c.LogFormat), "text or json")
	}
	if c.AdminAddress == off {
		return nil
	}
	host, port, err := net.SplitHostPort(c.AdminAddress)
	if err != nil || host == "" {
		// Without a host it would be all interfaces, which has to be asked for.
		return invalid("AdminAddress", c.AdminAddress, adminRule)
	}
	if number, err := strconv.Atoi(port); err != nil || number < 0 || number > 65535 {
		return invalid("AdminAddress", c.AdminAddress, adminRule)
	}
	return nil
}
