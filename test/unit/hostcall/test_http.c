/* SPDX-License-Identifier: MIT */
/* wasi:http: a guest's request reaches a server with the grant, and nobody without. */
#include "world.h"

#include "server.h"

#define OPTION_FIELD "(export \"field-size-payload\" (type $size (eq $size-raw)))"

/* The types that sending a request needs, from wasi:http 0.2. */
static const char types[] =
    "(import \"wasi:http/types@0.2.0\" (instance $types"
    " (type $dns-raw (record (field \"rcode\" (option string)) (field \"info-code\" (option u16))))"
    " (export \"DNS-error-payload\" (type $dns (eq $dns-raw)))"
    " (type $tls-raw (record (field \"alert-id\" (option u8))"
    "  (field \"alert-message\" (option string))))"
    " (export \"TLS-alert-received-payload\" (type $tls (eq $tls-raw)))"
    " (type $size-raw (record (field \"field-name\" (option string))"
    "  (field \"field-size\" (option u32))))" OPTION_FIELD
    " (type $code-raw (variant (case \"DNS-timeout\") (case \"DNS-error\" $dns)"
    "  (case \"destination-not-found\") (case \"destination-unavailable\")"
    "  (case \"destination-IP-prohibited\") (case \"destination-IP-unroutable\")"
    "  (case \"connection-refused\") (case \"connection-terminated\") (case \"connection-timeout\")"
    "  (case \"connection-read-timeout\") (case \"connection-write-timeout\")"
    "  (case \"connection-limit-reached\") (case \"TLS-protocol-error\")"
    "  (case \"TLS-certificate-error\") (case \"TLS-alert-received\" $tls)"
    "  (case \"HTTP-request-denied\") (case \"HTTP-request-length-required\")"
    "  (case \"HTTP-request-body-size\" (option u64)) (case \"HTTP-request-method-invalid\")"
    "  (case \"HTTP-request-URI-invalid\") (case \"HTTP-request-URI-too-long\")"
    "  (case \"HTTP-request-header-section-size\" (option u32))"
    "  (case \"HTTP-request-header-size\" (option $size))"
    "  (case \"HTTP-request-trailer-section-size\" (option u32))"
    "  (case \"HTTP-request-trailer-size\" $size) (case \"HTTP-response-incomplete\")"
    "  (case \"HTTP-response-header-section-size\" (option u32))"
    "  (case \"HTTP-response-header-size\" $size)"
    "  (case \"HTTP-response-body-size\" (option u64))"
    "  (case \"HTTP-response-trailer-section-size\" (option u32))"
    "  (case \"HTTP-response-trailer-size\" $size)"
    "  (case \"HTTP-response-transfer-coding\" (option string))"
    "  (case \"HTTP-response-content-coding\" (option string))"
    "  (case \"HTTP-response-timeout\") (case \"HTTP-upgrade-failed\")"
    "  (case \"HTTP-protocol-error\") (case \"loop-detected\") (case \"configuration-error\")"
    "  (case \"internal-error\" (option string))))"
    " (export \"error-code\" (type $code (eq $code-raw)))"
    " (type $scheme-raw (variant (case \"HTTP\") (case \"HTTPS\") (case \"other\" string)))"
    " (export \"scheme\" (type $scheme (eq $scheme-raw)))"
    " (export \"fields\" (type $fields (sub resource)))"
    " (export \"[constructor]fields\" (func (result (own $fields))))"
    " (export \"outgoing-request\" (type $request (sub resource)))"
    " (export \"[constructor]outgoing-request\""
    "  (func (param \"headers\" (own $fields)) (result (own $request))))"
    " (export \"[method]outgoing-request.set-scheme\" (func (param \"self\" (borrow $request))"
    "  (param \"scheme\" (option $scheme)) (result (result))))"
    " (export \"[method]outgoing-request.set-authority\" (func (param \"self\" (borrow $request))"
    "  (param \"authority\" (option string)) (result (result))))"
    " (export \"[method]outgoing-request.set-path-with-query\""
    "  (func (param \"self\" (borrow $request)) (param \"path-with-query\" (option string))"
    "  (result (result))))"
    " (export \"request-options\" (type $options (sub resource)))"
    " (export \"future-incoming-response\" (type $future (sub resource)))))"
    "(alias export $types \"error-code\" (type $code))"
    "(alias export $types \"outgoing-request\" (type $request))"
    "(alias export $types \"request-options\" (type $options))"
    "(alias export $types \"future-incoming-response\" (type $future))"
    "(import \"wasi:http/outgoing-handler@0.2.0\" (instance $handler"
    " (export \"outgoing-request\" (type $r (eq $request)))"
    " (export \"request-options\" (type $o (eq $options)))"
    " (export \"future-incoming-response\" (type $f (eq $future)))"
    " (export \"error-code\" (type $e (eq $code)))"
    " (export \"handle\" (func (param \"request\" (own $r)) (param \"options\" (option (own $o)))"
    "  (result (result (own $f) (error $e)))))))"
    "(import \"rusm:runtime/actor@0.1.0\" (instance $actor"
    " (export \"receive\" (func (result (list u8))))))";

/* Receives the authority, asks there, and waits: what was asked goes on meanwhile. */
static const char rest[] =
    "(core module $libc (memory (export \"memory\") 2)"
    " (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))"
    "(core instance $libc (instantiate $libc))"
    "(alias core export $libc \"memory\" (core memory $memory))"
    "(alias core export $libc \"realloc\" (core func $realloc))"
    "(core func $fields (canon lower (func $types \"[constructor]fields\")))"
    "(core func $request (canon lower (func $types \"[constructor]outgoing-request\")))"
    "(core func $scheme (canon lower (func $types \"[method]outgoing-request.set-scheme\")"
    " (memory $memory)))"
    "(core func $authority (canon lower (func $types \"[method]outgoing-request.set-authority\")"
    " (memory $memory)))"
    "(core func $path (canon lower (func $types \"[method]outgoing-request.set-path-with-query\")"
    " (memory $memory)))"
    "(core func $handle (canon lower (func $handler \"handle\") (memory $memory)"
    " (realloc $realloc)))"
    "(core func $receive (canon lower (func $actor \"receive\") (memory $memory)"
    " (realloc $realloc)))"
    "(core module $main"
    " (import \"libc\" \"memory\" (memory 1))"
    " (import \"host\" \"fields\" (func $fields (result i32)))"
    " (import \"host\" \"request\" (func $request (param i32) (result i32)))"
    " (import \"host\" \"scheme\" (func $scheme (param i32 i32 i32 i32 i32) (result i32)))"
    " (import \"host\" \"authority\" (func $authority (param i32 i32 i32 i32) (result i32)))"
    " (import \"host\" \"path\" (func $path (param i32 i32 i32 i32) (result i32)))"
    " (import \"host\" \"handle\" (func $handle (param i32 i32 i32 i32)))"
    " (import \"host\" \"receive\" (func $receive (param i32)))"
    " (data (i32.const 16) \"/\")"
    " (func (export \"run\") (local $r i32)"
    "  (call $receive (i32.const 1024))" /* whom to report to, which is of no use here */
    "  (call $receive (i32.const 1024))"
    "  (local.set $r (call $request (call $fields)))"
    "  (drop (call $scheme (local.get $r) (i32.const 1) (i32.const 0) (i32.const 0)"
    "   (i32.const 0)))"
    "  (if (call $authority (local.get $r) (i32.const 1) (i32.load (i32.const 1024))"
    "   (i32.load (i32.const 1028))) (then unreachable))"
    "  (drop (call $path (local.get $r) (i32.const 1) (i32.const 16) (i32.const 1)))"
    "  (call $handle (local.get $r) (i32.const 0) (i32.const 0) (i32.const 2048))"
    "  (if (i32.load8_u (i32.const 2048)) (then unreachable))"
    "  (call $receive (i32.const 1024))))"
    "(core instance $main (instantiate $main (with \"libc\" (instance $libc))"
    " (with \"host\" (instance (export \"fields\" (func $fields))"
    "  (export \"request\" (func $request)) (export \"scheme\" (func $scheme))"
    "  (export \"authority\" (func $authority)) (export \"handle\" (func $handle))"
    "  (export \"path\" (func $path))"
    "  (export \"receive\" (func $receive))))))"
    "(func (export \"run\") (canon lift (core func $main \"run\"))))";

static rusm_pid start_client(struct world *w, const char *authority) {
    struct rusm__buf wat;
    rusm__buf_init(&wat);
    rusm__buf_add_str(&wat, "(component ");
    rusm__buf_add_str(&wat, types);
    rusm__buf_add_str(&wat, rest);
    rusm_pid pid = world_start(w, world_load(w, "client", rusm__buf_cstr(&wat)));
    rusm__buf_fini(&wat);
    world_send_text(w, pid, authority);
    return pid;
}

static const char *authority_of(const struct server *server) {
    static char text[32];
    snprintf(text, sizeof(text), "127.0.0.1:%d", server->port);
    return text;
}

static void with_the_grant_a_request_arrives(void **state) {
    struct world *w = *state;
    struct server server;
    server_start(&server, "");
    rusm_pid pid = start_client(w, authority_of(&server));
    WAIT_FOR(atomic_load(&server.asks) > 0);
    world_send_text(w, pid, "done");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    server_stop(&server);
}

static void without_it_nothing_is_connected_to(void **state) {
    struct world *w = *state;
    struct server server;
    char line[160];
    server_start(&server, "");
    w->profile.network = false;
    rusm_pid pid = start_client(w, authority_of(&server));
    world_send_text(w, pid, "done");
    world_expect_end(w, pid, RUSM_EXIT_NORMAL);
    snprintf(line, sizeof(line),
             "wasi:http request of %s; to allow it put `allow-network = true` under "
             "[capabilities.test]",
             authority_of(&server));
    world_expect_log(w, line);
    server_stop(&server);
    assert_int_equal(atomic_load(&server.asks), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        world_test(with_the_grant_a_request_arrives),
        world_test(without_it_nothing_is_connected_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
