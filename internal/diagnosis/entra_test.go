package diagnosis

import (
	"strings"
	"testing"
)

// referenceNumbers are all AADSTS numbers of reference F.3 that a gateway can be refused with, and those of its sections A.3,
// C and D. 70016 (the person has not typed the code yet) and 50049 and 50058, which only browsers and libraries see, are no refusals.
var referenceNumbers = []int{
	50076, 50079, 50072, 50074, 50078, 50158, 53000, 53001, 53002, 530003, 53003, 530032, 530034, 530035, 53011, 65001, 65004,
	650052, 650056, 650057, 90094, 90095, 70000, 70008, 700082, 700084, 70043, 50173, 50132, 50133, 50034, 50020, 50126, 50055, 50057, 50053,
	50144, 50105, 50131, 50097, 50005, 7000215, 7000222, 700027, 700025, 7000218, 700030, 700016, 70001, 7000112, 700011, 700021, 90002,
	50059, 50128, 900023, 50011, 900144, 90014, 9002313, 900561, 70011, 1002012, 28000, 700022, 500011, 500014, 501051, 54005, 70002, 70003,
	50148, 50194, 50196, 90033, 90006, 90024, 90090, 90055, 90038, 500021, 500022, 700024, 70018, 70019,
}

func TestEveryNumberHasItsDiagnosis(t *testing.T) {
	about := Subject{App: "5f0f5a5c-7b1d-4d0e-9a3f-6c2c1b7e4d21", Account: "alice@contoso.com", Provider: "contoso", Tenant: "contoso.com"}
	for _, number := range referenceNumbers {
		d, mender, known := Entra(number, about)
		switch {
		case !known:
			t.Errorf("%d has no diagnosis", number)
		case d.Name == "" || d.Cause == "" || d.Short == "":
			t.Errorf("%d: name %q, cause %q, short %q", number, d.Name, d.Cause, d.Short)
		case mender != Time && d.Fix == "":
			t.Errorf("%d: nothing mends it, and it is no matter of time", number)
		case len(d.Short) > 100 || strings.ContainsFunc(d.Short, func(c rune) bool { return c < ' ' || c > '~' }):
			t.Errorf("%d: a device cannot show %q", number, d.Short)
		case strings.ContainsAny(d.Cause+d.Fix+d.Command+d.Short, "{}\n"):
			t.Errorf("%d: not filled in: %s", number, d)
		}
	}
	if d, _, known := Entra(99999, about); known {
		t.Errorf("got %q for a number that nobody has heard of", d.Name)
	}
}

// TestCommandsAreOfOneKind: each begins with a word that tells where it is to be typed.
func TestCommandsAreOfOneKind(t *testing.T) {
	var commands []string
	for _, rows := range [][]row{smtpRows, imapRows} {
		for _, r := range rows {
			commands = append(commands, r.Command)
		}
	}
	for _, r := range entraRows {
		commands = append(commands, r.Command)
	}
	for _, command := range commands {
		word, _, _ := strings.Cut(command, " ")
		verb, noun, cmdlet := strings.Cut(word, "-")
		switch {
		case command == "", word == "az", word == "postern", word == "timedatectl":
		case cmdlet && noun != "" && strings.Contains(" Get Set Add Remove New Test ", " "+verb+" "):
		default:
			t.Errorf("where is %q to be typed?", command)
		}
	}
}

func TestNumbersFillInTheSubject(t *testing.T) {
	d, mender, _ := Entra(50173, Subject{Account: "alice@contoso.com"})
	if want := "postern user enroll alice@contoso.com"; d.Command != want || mender != Person {
		t.Errorf("got %q by %s, want %q by %s", d.Command, mender, want, Person)
	}
	if d, _, _ := Entra(700016, Subject{App: "$(reboot)"}); d.Command != "az ad sp create --id APP-ID" {
		t.Errorf("got %q", d.Command)
	}
}
