// Command oidc runs OpenID Connect issuers for tests, one at each given address: discovery, keys, and an identity token for
// every request. It also has the token endpoints for machines: those of GitHub Actions, Google's metadata server and IAM
// Credentials. It uses only the standard library.
//
//	oidc 127.0.0.1:5801 127.0.0.1:5802
//	curl '127.0.0.1:5801/token?email=promoter@example.com'
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	audience = "sigstore"
	lifetime = time.Hour
	// The account that the metadata server reports.
	account = "default@kpromo.test"
	// The Authorization that requests to GitHub Actions and IAM Credentials must have.
	bearer = "Bearer kpromo-test"
)

// An issuer has its own key, so that its tokens do not verify as those of another issuer.
type issuer struct {
	url string
	key *rsa.PrivateKey
}

func main() {
	addresses := os.Args[1:]
	if len(addresses) == 0 {
		log.Fatal("usage: oidc ADDRESS...")
	}
	ended := make(chan error)
	for _, address := range addresses {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			log.Fatal(err)
		}
		i := issuer{url: "http://" + address, key: key}
		go func() { ended <- http.ListenAndServe(address, i.routes()) }()
	}
	log.Fatal(<-ended)
}

func (i issuer) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /token", i.token)
	mux.HandleFunc("GET /github", i.github)
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/identity", i.metadata)
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/email", i.account)
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/token", i.access)
	mux.HandleFunc("POST /v1/projects/-/serviceAccounts/{call}", i.impersonate)
	return mux
}

func (i issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": i.url, "jwks_uri": i.url + "/keys", "token_endpoint": i.url + "/token",
		"authorization_endpoint": i.url + "/auth", "response_types_supported": []string{"id_token"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported": []string{"openid", "email"}, "claims_supported": []string{"sub", "aud", "exp", "email"},
	})
}

func (i issuer) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": i.url,
		"n": encode(i.key.N.Bytes()), "e": encode(big.NewInt(int64(i.key.E)).Bytes()),
	}}})
}

// token issues a token with every parameter as a claim. exp is in seconds from now (negative: expired), and email_verified is
// a boolean. All other claims are text.
func (i issuer) token(w http.ResponseWriter, r *http.Request) {
	claims, err := claimsOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, i.sign(claims))
}

func claimsOf(query url.Values) (map[string]any, error) {
	claims := map[string]any{}
	for name := range query {
		claims[name] = query.Get(name)
	}
	if text, there := claims["exp"]; there {
		seconds, err := strconv.ParseInt(text.(string), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("exp is not a number of seconds: %w", err)
		}
		claims["exp"] = time.Now().Unix() + seconds
	}
	if text, there := claims["email_verified"]; there {
		verified, err := strconv.ParseBool(text.(string))
		if err != nil {
			return nil, fmt.Errorf("email_verified is neither true nor false: %w", err)
		}
		claims["email_verified"] = verified
	}
	return claims, nil
}

// github is the endpoint in ACTIONS_ID_TOKEN_REQUEST_URL. Every parameter except audience becomes a claim.
func (i issuer) github(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != bearer {
		http.Error(w, "no request token", http.StatusUnauthorized)
		return
	}
	query := r.URL.Query()
	if query.Has("audience") {
		query.Set("aud", query.Get("audience"))
		query.Del("audience")
	}
	claims, err := claimsOf(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, map[string]any{"value": i.sign(claims)})
}

func (i issuer) metadata(w http.ResponseWriter, r *http.Request) {
	if flavoured(w, r) {
		claims := map[string]any{"aud": r.FormValue("audience"), "sub": "104"}
		if r.FormValue("format") == "full" {
			claims["email"] = account
		}
		fmt.Fprint(w, i.sign(claims))
	}
}

func (i issuer) account(w http.ResponseWriter, r *http.Request) {
	if flavoured(w, r) {
		fmt.Fprint(w, account)
	}
}

func (i issuer) access(w http.ResponseWriter, r *http.Request) {
	if flavoured(w, r) {
		answer(w, map[string]any{
			"access_token": strings.TrimPrefix(bearer, "Bearer "), "expires_in": 3600, "token_type": "Bearer",
		})
	}
}

// flavoured refuses requests without Metadata-Flavor, as the metadata server does to stop forged requests.
func flavoured(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Metadata-Flavor", "Google")
	there := r.Header.Get("Metadata-Flavor") == "Google"
	if !there {
		http.Error(w, "no Metadata-Flavor", http.StatusForbidden)
	}
	return there
}

// impersonate is generateIdToken of IAM Credentials: it issues a token for another account.
func (i issuer) impersonate(w http.ResponseWriter, r *http.Request) {
	email, isCall := strings.CutSuffix(r.PathValue("call"), ":generateIdToken")
	var body struct {
		Audience     string
		IncludeEmail bool
	}
	// Read before any refusal: a connection that is closed with unread bytes is reset, and the response is lost.
	unread := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body)
	switch {
	case !isCall:
		http.NotFound(w, r)
	case r.Header.Get("Authorization") != bearer:
		http.Error(w, "no access token", http.StatusUnauthorized)
	case unread != nil:
		http.Error(w, "no JSON", http.StatusBadRequest)
	default:
		claims := map[string]any{"aud": body.Audience, "sub": "105"}
		if body.IncludeEmail {
			claims["email"] = email
		}
		answer(w, map[string]any{"token": i.sign(claims)})
	}
}

// sign issues a token with the claims, and with defaults for those that are missing.
func (i issuer) sign(claims map[string]any) string {
	now := time.Now()
	set := func(name string, value any) {
		if _, there := claims[name]; !there {
			claims[name] = value
		}
	}
	set("iss", i.url)
	set("aud", audience)
	set("iat", now.Unix())
	set("exp", now.Add(lifetime).Unix())
	if email, there := claims["email"]; there {
		set("sub", email)
		set("email_verified", true)
	}
	text := encodeJSON(map[string]any{"alg": "RS256", "typ": "JWT", "kid": i.url}) + "." + encodeJSON(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		log.Fatal(err)
	}
	return text + "." + encode(signature)
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}

func encodeJSON(value map[string]any) string {
	text, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	return encode(text)
}

func encode(bytes []byte) string { return base64.RawURLEncoding.EncodeToString(bytes) }
