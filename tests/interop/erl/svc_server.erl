%% The generic server of svc; tests/interop/services.py has its twin.
-module(svc_server).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

init([]) -> {ok, #{count => 0, waiting => []}}.

handle_call({add, N}, _From, #{count := C} = State) -> {reply, C + N, State#{count := C + N}};
handle_call({echo, X}, _From, State) -> {reply, X, State};
handle_call(which_children, _From, State) -> {reply, [{one, undefined, worker, [svc]}], State};
handle_call(count_children, _From, State) ->
    {reply, [{specs, 1}, {active, 0}, {supervisors, 0}, {workers, 1}], State};
handle_call({error, Reason}, _From, _State) -> erlang:error(Reason);
handle_call({exit, Reason}, _From, _State) -> exit(Reason);
handle_call({throw, Term}, _From, _State) -> throw(Term);
handle_call({stop, Reason}, _From, State) -> {stop, Reason, State};
handle_call({stop, Reason, Reply}, _From, State) -> {stop, Reason, Reply, State};
handle_call(wait, From, #{waiting := W} = State) -> {noreply, State#{waiting := [From | W]}};
handle_call({later, Millis, Value}, From, State) ->
    spawn(fun() -> timer:sleep(Millis), gen_server:reply(From, Value) end),
    {noreply, State};
handle_call(never, _From, State) -> {noreply, State};
handle_call(Request, _From, State) -> {stop, {bad_call, Request}, State}.

handle_cast({set, N}, State) -> {noreply, State#{count := N}};
handle_cast({error, Reason}, _State) -> erlang:error(Reason);
handle_cast({release, Value}, #{waiting := W} = State) ->
    [gen_server:reply(From, Value) || From <- lists:reverse(W)],
    {noreply, State#{waiting := []}};
handle_cast(Request, State) -> {stop, {bad_cast, Request}, State}.

handle_info({add, N}, #{count := C} = State) -> {noreply, State#{count := C + N}};
handle_info({stop, Reason}, State) -> {stop, Reason, State};
handle_info(_Message, State) -> {noreply, State}.
