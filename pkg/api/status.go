package api

// StatusCode is the HTTP status of an error, for the other servers of docker-sd.
func StatusCode(err error) int { return statusCode(err) }
