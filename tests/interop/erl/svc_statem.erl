%% A state machine: a switch that counts; tests/interop/services.py has its twin.
-module(svc_statem).
-behaviour(gen_statem).
-export([callback_mode/0, init/1, handle_event/4]).

callback_mode() -> handle_event_function.
init([]) -> {ok, off, 0}.

handle_event({call, From}, flip, off, N) -> {next_state, on, N + 1, [{reply, From, on}]};
handle_event({call, From}, flip, on, N) -> {next_state, off, N + 1, [{reply, From, off}]};
handle_event({call, From}, count, _State, N) -> {keep_state_and_data, [{reply, From, N}]};
handle_event({call, _From}, never, _State, _N) -> keep_state_and_data;
handle_event({call, _From}, {error, Reason}, _State, _N) -> erlang:error(Reason);
handle_event(cast, reset, _State, _N) -> {next_state, off, 0};
handle_event(info, _Message, _State, _N) -> keep_state_and_data.
