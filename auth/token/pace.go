package token

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// mostRequests and requestsAtOnce bound the token requests of one provider: a second, and in a burst. Entra publishes
	// no number (reference F.3). With these, 10,000 accounts that wake with nothing kept are served within 75 seconds
	// (threat model I-33).
	mostRequests, requestsAtOnce = 150, 150
	// leastRequests is how few a second it may become when the provider limits them.
	leastRequests = 2
	// maxTurn is how long a request may wait for its turn, which bounds the queue: 2,250 requests at most.
	maxTurn = 15 * time.Second
	// requestsUnderWay bounds the requests that have been made and not been answered and saved yet: a provider that is slow
	// gets no more of them, and the store is not swamped.
	requestsUnderWay = 64
	// holdTime is how long a provider is left alone that limits requests and does not say for how long.
	holdTime = 30 * time.Second
	// crowdedRetry is when to come back where the queue is full.
	crowdedRetry = 5 * time.Second
)

// pace keeps the requests to one provider's token endpoint apart from each other, for all accounts together: so many a
// second at most, in the order in which they came, and none while the provider wants to be left alone. Each time it
// limits us, the rate halves, and then recovers by one in a hundred for each good answer. A limit that only one account
// meets is that account's own, and harms nobody else (threat model I-29). Safe for concurrent use.
//
// Time is that of the monotonic clock: setting the clock releases nobody early (threat model I-48).
type pace struct {
	limiter *rate.Limiter
	slots   chan struct{} // one for each request under way

	mu      sync.Mutex
	held    time.Time // no request before
	limited Account   // whom the provider limited last
	until   time.Time // for how long
}

func newPace() *pace {
	return &pace{limiter: rate.NewLimiter(mostRequests, requestsAtOnce), slots: make(chan struct{}, requestsUnderWay)}
}

// turn waits for the account's turn. Whoever has it calls done once the answer is saved. The failure is temporary, and was
// never a request.
func (p *pace) turn(ctx context.Context, account Account) (done func(), failed *Error) {
	if failed := p.leftAlone(account); failed != nil {
		return nil, failed
	}
	reservation := p.limiter.Reserve()
	delay := reservation.Delay()
	if delay > maxTurn {
		reservation.Cancel()
		return nil, crowded(account, crowdedRetry, fmt.Sprintf("too many accounts want a token at once; %.0f a second are asked for", float64(p.limiter.Limit())))
	}
	waiting, cancel := context.WithTimeout(ctx, maxTurn)
	defer cancel()
	if !pause(waiting, delay) {
		reservation.Cancel()
		return nil, cutShort(ctx, account)
	}
	select {
	case p.slots <- struct{}{}:
	case <-waiting.Done():
		if ctx.Err() != nil {
			return nil, cutShort(ctx, account)
		}
		return nil, crowded(account, crowdedRetry, "the token requests before it are not answered")
	}
	done = func() { <-p.slots }
	if failed := p.leftAlone(account); failed != nil { // while we waited
		done()
		return nil, failed
	}
	return done, nil
}

// leftAlone gives the failure of a request that is not made, since the provider wants none now; nil when it may be made.
func (p *pace) leftAlone(account Account) *Error {
	left := p.hold()
	if left <= 0 {
		return nil
	}
	return crowded(account, left, "the provider limits token requests and is left alone for "+left.Round(time.Second).String())
}

func cutShort(ctx context.Context, account Account) *Error {
	return &Error{Account: account, Class: Temporary, Advice: "the wait for a token's turn was cut short", cause: ctx.Err()}
}

// busy reports whether requests that nobody waits for had better come later.
func (p *pace) busy() bool { return p.hold() > 0 || p.limiter.Tokens() < requestsAtOnce/4 }

// count counts a request that did not wait for its turn: a person waits in front of a screen for it.
func (p *pace) count() { p.limiter.Allow() }

// heed takes in what a request for an account was answered.
func (p *pace) heed(account Account, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable && a.retryAfter > 0:
		p.limit(account, time.Now(), a.retryAfter)
	case a.status == http.StatusOK:
		p.limiter.SetLimit(min(p.limiter.Limit()*1.01, mostRequests))
	}
}

// limit takes in that the provider limited an account. The caller holds the mutex.
func (p *pace) limit(account Account, now time.Time, retryAfter time.Duration) {
	if retryAfter == 0 {
		retryAfter = holdTime
	}
	until := now.Add(retryAfter)
	if account != p.limited && now.Before(p.until) {
		if until.Before(p.until) {
			until = p.until
		}
		p.held = until
		p.limiter.SetLimit(max(p.limiter.Limit()/2, leastRequests))
	}
	p.limited, p.until = account, until
}

// hold gives how long the provider is still to be left alone.
func (p *pace) hold() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.held)
}

// crowded is a request that was not made, since others go first. By chance it comes back up to half as late again, so
// that those who were sent away together do not come back together.
func crowded(account Account, after time.Duration, advice string) *Error {
	return &Error{Account: account, Class: Temporary, Advice: advice, retryAfter: after + rand.N(after/2+1), unasked: true}
}

// pause lets time pass; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
