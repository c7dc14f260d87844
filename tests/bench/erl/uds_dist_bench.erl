%% The BEAM's side of the benchmarks: the peer that echoes and counts, and the same work that
%% Python does with it, timed in compiled code. Every timed function returns nanoseconds.
-module(uds_dist_bench).
-export([start/0, rtt/2, send/3, send_binaries/3, echo/3, rpc/2]).
-export([store/2, stored_size/1, decode/2, encode/2, process_info/0]).

%% ---- The peer

start() ->
    register(echo, spawn(fun echo/0)),
    register(counter, spawn(fun counter/0)),
    ok.

echo() ->
    receive {From, Term} -> From ! Term end,
    echo().

%% The sender's clock runs until the receiver has taken every message.
counter() ->
    receive {count, From, Count} -> count(Count), From ! done end,
    counter().

count(0) -> ok;
count(Left) -> receive _ -> count(Left - 1) end.

%% ---- Messages and calls

rtt(Node, Count) -> timed(fun() -> rtt_loop({echo, Node}, Count) end).

rtt_loop(_, 0) -> ok;
rtt_loop(To, Left) ->
    To ! {self(), Left},
    receive Left -> rtt_loop(To, Left - 1) end.

send(Node, Message, Count) ->
    timed(fun() ->
                  To = {counter, Node},
                  To ! {count, self(), Count},
                  send_loop(To, Message, Count),
                  receive done -> ok end
          end).

send_loop(_, _, 0) -> ok;
send_loop(To, Message, Left) ->
    To ! Message,
    send_loop(To, Message, Left - 1).

send_binaries(Node, Size, Count) -> send(Node, binary:copy(<<1>>, Size), Count).

echo(Node, Size, Count) ->
    Binary = binary:copy(<<1>>, Size),
    timed(fun() -> echo_loop({echo, Node}, Binary, Count) end).

echo_loop(_, _, 0) -> ok;
echo_loop(To, Binary, Left) ->
    To ! {self(), Binary},
    receive Back when byte_size(Back) =:= byte_size(Binary) -> echo_loop(To, Binary, Left - 1) end.

rpc(Node, Count) -> timed(fun() -> rpc_loop(Node, Count) end).

rpc_loop(_, 0) -> ok;
rpc_loop(Node, Left) ->
    Node = rpc:call(Node, erlang, node, []),
    rpc_loop(Node, Left - 1).

%% ---- The codec

store(Name, Bytes) -> persistent_term:put(Name, {Bytes, binary_to_term(Bytes)}).

%% The result has the same length if the BEAM decoded the bytes correctly.
stored_size(Name) ->
    {_, Term} = persistent_term:get(Name),
    byte_size(term_to_binary(Term)).

decode(Name, Count) ->
    {Bytes, _} = persistent_term:get(Name),
    timed(fun() -> decode_loop(Bytes, Count, none) end).

decode_loop(_, 0, Last) -> Last;
decode_loop(Bytes, Left, _) -> decode_loop(Bytes, Left - 1, binary_to_term(Bytes)).

encode(Name, Count) ->
    {_, Term} = persistent_term:get(Name),
    timed(fun() -> encode_loop(Term, Count, none) end).

encode_loop(_, 0, Last) -> Last;
encode_loop(Term, Left, _) -> encode_loop(Term, Left - 1, term_to_binary(Term)).

process_info() -> [erlang:process_info(Pid) || Pid <- processes()].

%% ---- The clock

%% In a new process: no leftovers of an earlier run on its heap or in its mailbox.
timed(Fun) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
                                           Start = erlang:monotonic_time(nanosecond),
                                           Fun(),
                                           exit({took, erlang:monotonic_time(nanosecond) - Start})
                                   end),
    receive
        {'DOWN', Monitor, process, Pid, {took, Nanoseconds}} -> Nanoseconds;
        {'DOWN', Monitor, process, Pid, Reason} -> exit(Reason)
    end.
