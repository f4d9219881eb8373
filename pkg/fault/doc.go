// Package fault names the moments before and after each side effect, so that
// tests can end docker-sd at any of them and see what the next run makes of it.
//
// A normal build knows no faults: Point is empty there and inlined away. With the
// build tag faults a process may be armed, once, with the point to die at.
package fault
