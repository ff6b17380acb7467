package bootlog

import "apocryph/proto/status"

// RegisterRTMR returns what the log alone makes of an RTMR, 48 bytes: where a pod
// log begins that extends one which boot has used. Like [Log.Register], it proves
// nothing by itself.
func (l *Log) RegisterRTMR(rtmr int) ([]byte, error) {
	b, err := l.strong("sha384")
	if err != nil {
		return nil, err
	}
	if rtmr < 0 || rtmr > rtmrs.last {
		return nil, status.New(status.InvalidArgument, "bootlog.replay", "rtmr[%d], want 0 to %d", rtmr, rtmrs.last)
	}
	v, _ := l.extend(b, rtmrs, rtmr)
	return v, nil
}
