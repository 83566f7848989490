#!/bin/sh
# Regenerates the test certificates with OpenSSL. They are checked in, so that the tests do not need OpenSSL.
# All of them share one key, which protects nothing.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
cat > "$scratch/openssl.cnf" <<'END'
[ca]
default_ca = tests
[tests]
database = $ENV::SCRATCH/index
new_certs_dir = $ENV::SCRATCH
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[host]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = $ENV::NAMES
END
SCRATCH=$scratch NAMES=DNS:unused
export SCRATCH NAMES
: > "$scratch/index"

# Writes NAME.pem: certificate NAME [extension section] [first day] [last day] [options of openssl ca...]
certificate() {
    name=$1 extensions=$2 first=$3 last=$4
    shift 4
    openssl req -new -config "$scratch/openssl.cnf" -key key.pem -subj "/CN=kpromo tests: $name" -out "$scratch/request"
    openssl ca -batch -notext -config "$scratch/openssl.cnf" -extensions "$extensions" -keyfile key.pem \
        -startdate "${first}000000Z" -enddate "${last}000000Z" -in "$scratch/request" -out "$name.pem" "$@"
}

certificate authority authority 20200101 21200101 -selfsign
NAMES=IP:127.0.0.1,DNS:registry.example,DNS:storage.example
certificate host host 20200101 21200101 -cert authority.pem
certificate expired host 20200101 20210101 -cert authority.pem
certificate future host 21190101 21200101 -cert authority.pem
NAMES=DNS:elsewhere.example
certificate misnamed host 20200101 21200101 -cert authority.pem
