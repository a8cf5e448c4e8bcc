package entra

import (
	"slices"
	"strings"

	"postern/internal/sim/tenant"
)

// mailResources are the spellings of the mail resource: one resource, and an audience that Exchange takes either way
// (reference A.1, A.3).
var mailResources = []string{"https://outlook.office.com", "https://outlook.office365.com"}

// graphResource is where a permission without a resource belongs (reference A.3): the wrong audience for mail.
const graphResource = "https://graph.microsoft.com"

// The permissions that exist (reference A.2).
var (
	mailPermissions  = []string{"IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "SMTP.Send", "Mail.Send"}
	graphPermissions = []string{"IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "SMTP.Send", "Mail.Send", "User.Read"}
)

// allPermissions stands for whatever was consented to.
const allPermissions = ".default"

// permission is one permission that was asked for.
type permission struct {
	resource string // as it was spelled
	name     string // as it exists
	asked    string // the whole, as it was spelled
}

// scope is the scope of a request, understood.
type scope struct {
	permissions []permission
	openID      bool
	offline     bool
}

// parseScope reads the scope parameter (RFC 6749 section 3.3). Which resources it names is not judged here: consent may
// be asked for several at a time, a token may not.
func parseScope(text string) (scope, *problem) {
	var parsed scope
	for _, word := range strings.Fields(text) {
		switch strings.ToLower(word) {
		case "openid":
			parsed.openID = true
		case "offline_access":
			parsed.offline = true
		case "profile", "email":
		default:
			p, problem := parsePermission(word)
			if problem != nil {
				return scope{}, problem
			}
			parsed.permissions = append(parsed.permissions, p)
		}
	}
	return parsed, nil
}

func parsePermission(word string) (permission, *problem) {
	resource, name, prefixed := cutResource(word)
	if !prefixed {
		resource = graphResource
	}
	known := permissionsOf(resource)
	if known == nil {
		return permission{}, refuse(500011).says("The resource principal named %s was not found in the tenant. This can happen if the "+
			"application has not been installed by the administrator of the tenant or consented to by any user in the tenant. "+
			"You might have sent your authentication request to the wrong tenant.", resource)
	}
	if name == allPermissions {
		return permission{resource: resource, name: name, asked: word}, nil
	}
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
	if i < 0 {
		return permission{}, refuse(70011).says("The provided request must include a 'scope' input parameter. The provided value for the "+
			"input parameter 'scope' is not valid. The scope %s is not valid.", word)
	}
	return permission{resource: resource, name: known[i], asked: word}, nil
}

// permissionsOf gives the permissions of a resource; nil when there is no such resource.
func permissionsOf(resource string) []string {
	switch {
	case isMail(resource):
		return mailPermissions
	case strings.EqualFold(resource, graphResource):
		return graphPermissions
	}
	return nil
}

// cutResource divides a scope word into resource and permission.
func cutResource(word string) (resource, name string, found bool) {
	i := strings.LastIndexByte(word, '/')
	if i < 0 {
		return "", word, false
	}
	return word[:i], word[i+1:], true
}

func isMail(resource string) bool { return oneOf(mailResources, resource) }

// audience gives the one resource that a token of this scope is for.
func (s scope) audience() (string, *problem) {
	if len(s.permissions) == 0 {
		return graphResource, nil
	}
	first := s.permissions[0]
	for _, p := range s.permissions[1:] {
		if !strings.EqualFold(p.resource, first.resource) && !(isMail(p.resource) && isMail(first.resource)) {
			return "", refuse(28000).says("Provided value for the input parameter scope is not valid because it contains more than one "+
				"resource. Scope %s %s is not valid.", first.asked, p.asked)
		}
		if (p.name == allPermissions) != (first.name == allPermissions) {
			return "", refuse(70011).says("The provided value for the input parameter 'scope' is not valid. .default scope can't be " +
				"combined with resource-specific scopes.")
		}
	}
	return strings.ToLower(first.resource), nil
}

// consented gives the permissions of the scope that an administrator consented to, or says that one is missing.
func (s scope) consented(application tenant.Application) ([]permission, *problem) {
	var granted []permission
	for _, p := range s.permissions {
		if p.name == allPermissions {
			return everything(application, p.resource)
		}
		if !oneOf(application.Delegated, p.name) {
			return nil, refuse(65001).says("The user or administrator has not consented to use the application with ID '%s' named '%s'. "+
				"Send an interactive authorization request for this user and resource.", application.ClientID, application.Name)
		}
		granted = append(granted, p)
	}
	return granted, nil
}

// everything is what .default stands for: whatever of the resource was consented to.
func everything(application tenant.Application, resource string) ([]permission, *problem) {
	var granted []permission
	for _, name := range application.Delegated {
		if !oneOf(permissionsOf(resource), name) {
			continue
		}
		granted = append(granted, permission{resource: resource, name: name, asked: resource + "/" + name})
	}
	if len(granted) == 0 {
		return nil, refuse(65001)
	}
	return granted, nil
}

// names gives the words of the scp claim.
func names(permissions []permission) []string {
	words := make([]string, len(permissions))
	for i, p := range permissions {
		words[i] = p.name
	}
	return words
}

// echo gives the scope of an answer: what was granted, spelled as it was asked for, or with the other host of the mail
// resource (reference G.4.1). A permission that was asked for without its resource gets one.
func echo(permissions []permission, otherHost bool) string {
	words := make([]string, len(permissions))
	for i, p := range permissions {
		resource := p.resource
		if otherHost && isMail(resource) {
			resource = mailResources[0]
			if strings.EqualFold(p.resource, resource) {
				resource = mailResources[1]
			}
		}
		_, name, _ := cutResource(p.asked)
		words[i] = resource + "/" + name
	}
	return strings.Join(words, " ")
}
