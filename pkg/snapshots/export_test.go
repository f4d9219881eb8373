package snapshots

import "time"

// SetLimit bounds calls by another time than callLimit.
func (s *Store) SetLimit(limit time.Duration) { s.daemon.limit = limit }
