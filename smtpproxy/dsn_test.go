package smtpproxy

import (
	"strings"
	"testing"
)

func TestDSNParameters(t *testing.T) {
	for parameter, want := range map[string]bool{
		"RET=FULL": true, "RET=hdrs": true, "RET=NONE": false, "RET": false,
		"ENVID=QQ314159": true, "ENVID=a+2Bb+3Dc": true, "ENVID=" + strings.Repeat("x", 100): true,
		"ENVID=" + strings.Repeat("x", 101): false, "ENVID=a+2bc": false, "ENVID=a+2": false, "ENVID=ü": false, "ENVID": false,
		"NOTIFY=NEVER": true, "NOTIFY=success,Failure,DELAY": true, "NOTIFY=DELAY": true,
		"NOTIFY=NEVER,SUCCESS": false, "NOTIFY=SUCCESS,SUCCESS": false, "NOTIFY=SUCCESS,": false, "NOTIFY=ALWAYS": false, "NOTIFY": false,
		"ORCPT=rfc822;bob@b.example": true, "ORCPT=RFC822;bob+2Bx@b.example": true, "ORCPT=utf-8;bücher@b.example": true,
		"ORCPT=rfc822;": false, "ORCPT=bob@b.example": false, "ORCPT=;bob": false, "ORCPT=rfc822;bücher@b.example": false,
		"ORCPT=rfc822;" + strings.Repeat("x", 500): false, "ORCPT": false,
	} {
		if _, ok := parseParameters(" " + parameter); ok != want {
			t.Errorf("%.60s: got %v, want %v", parameter, ok, want)
		}
	}
}
