%% An event handler that keeps what it sees; tests/interop/services.py has its twin.
-module(svc_log).
-behaviour(gen_event).
-export([init/1, handle_event/2, handle_call/2, terminate/2]).

init([]) -> {ok, []}.
handle_event({error, Reason}, _Seen) -> erlang:error(Reason);
handle_event(Event, Seen) -> {ok, [Event | Seen]}.
handle_call(seen, Seen) -> {ok, lists:reverse(Seen), Seen};
handle_call(_Query, Seen) -> {ok, {error, bad_query}, Seen}.
terminate(remove_handler, _Seen) -> ok;
terminate(Args, _Seen) -> {removed, Args}.
