%% Erlang distribution over Unix domain sockets, on OTP's module `socket`: the carrier as deployed.
%%
%%     erl -proto_dist uds -no_epmd -uds_dist socket_dir '"/run/myapp"' -sname a@localhost
%%
%% Application environment of uds_dist, or flags on the command line as above:
%%   version       1 (default): the rules of 1.0, 2: those of 2.0
%%   socket_dir    the folder of the sockets: node NAME@HOST listens on SOCKET_DIR/NAME.sock. A value
%%                 that begins with @ stands for Linux abstract sockets: "@DIR" is "\0DIR/NAME".
%%                 Without it, version 1 uses the working folder; version 2 uses the folder named by
%%                 the environment variable UDS_DIST_DIR, else /tmp/uds-dist-NAME.sock.
%%   allowed_uids  version 2 on Linux: whose processes may be at the other end: own (default), any,
%%                 or a list of user ids
%%   backlog       connections waiting to be accepted (default 5)
%%   mute          true (default): like the deployed carriers, send no tick, and leave an accepted
%%                 socket open and silent after a disconnect or a failed handshake; false: neither
%%
%% Version 2 makes the last component of its folder if it is missing, uses no folder but one that is
%% the node's own and has mode 0755, and gives socket files mode 0666.
%%
%% It needs OTP 27 and follows the guide "How to Implement an Alternative Carrier for the Erlang
%% Distribution".
%% Frames have a 2-byte length during the handshake and a 4-byte length after it.
-module(uds_dist).

%% Called by net_kernel.
-export([listen/1, listen/2, address/0, accept/1, accept_connection/5, setup/5, close/1,
         select/1, is_node_name/1, setopts/2, getopts/2]).
%% Called by the connection's supervisor, by name.
-export([tick/1, getstat/1]).

-include_lib("kernel/include/dist_util.hrl").
-include_lib("kernel/include/file.hrl").
-include_lib("kernel/include/logger.hrl").
-include_lib("kernel/include/net_address.hrl").

-define(DIST_VERSION, 6).
-define(SOL_SOCKET, 1).
-define(SO_PEERCRED, 17).

%% ---- The listener: {Socket, Path}

listen(Name, _Host) -> listen(Name).

listen(Name) ->
    {Dir, Path} = place(Name),
    maybe
        ok ?= check_length(Path),
        ok ?= check_folder(version(), Dir),
        {ok, Socket} ?= bind(Path),
        ok ?= open_file(version(), Path),
        ok ?= socket:listen(Socket, env(backlog, 5)),
        version() >= 2 andalso
            ?LOG_NOTICE("uds_dist listening on ~ts with allowed_uids=~tp",
                        [Path, env(allowed_uids, own)]),
        %% 0 is a wild card and 1..3 are what nodes without big creations use.
        {ok, {{Socket, Path}, (address())#net_address{address = {local, Path}},
              3 + rand:uniform(16#FFFFFFFF - 3)}}
    end.

bind(Path) ->
    {ok, Socket} = socket:open(local, stream),
    case socket:bind(Socket, #{family => local, path => Path}) of
        ok -> {ok, Socket};
        {error, eaddrinuse} ->
            socket:close(Socket),
            maybe
                ok ?= take_over(Path),
                bind(Path)
            end;
        Error ->
            socket:close(Socket),
            Error
    end.

%% A dead node leaves its socket file behind. It is removed if nobody answers there, and only if
%% it is a socket. `raw` because the file server starts after the distribution.
take_over(Path) ->
    {ok, Socket} = socket:open(local, stream),
    Answer = socket:connect(Socket, #{family => local, path => Path}),
    socket:close(Socket),
    case Answer of
        {error, econnrefused} ->
            case file:read_link_info(Path, [raw]) of
                {ok, #file_info{type = other}} -> file:delete(Path, [raw]);
                {ok, _} -> {error, eexist};
                {error, enoent} -> ok;
                Error -> Error
            end;
        {error, enoent} -> ok;
        _ -> {error, duplicate_name} % a full backlog, for instance, has a listener too
    end.

open_file(2, <<Char, _/binary>> = Path) when Char =/= 0 ->
    file:write_file_info(Path, #file_info{mode = 8#666}, [raw]);
open_file(_, _) ->
    ok.

%% A node that only dials (-dist_listen false) needs no more than this.
address() -> #net_address{host = localhost, protocol = stream, family = local}.

close({Socket, Path}) ->
    binary:first(Path) =/= 0 andalso file:delete(Path, [raw]),
    socket:close(Socket).

select(Node) -> is_node_name(Node).

is_node_name(Node) ->
    case string:split(atom_to_list(Node), "@", all) of
        [[_ | _], [_ | _]] -> true;
        _ -> false
    end.

%% ---- Connections from others

accept({Listen, _Path}) ->
    Kernel = self(),
    spawn_opt(fun() -> accept_loop(Kernel, Listen) end, [link, {priority, max}]).

accept_loop(Kernel, Listen) ->
    case socket:accept(Listen) of
        {ok, Socket} ->
            case check_peer(version(), Socket) of
                ok -> hand_over(Kernel, Socket);
                Refusal ->
                    ?LOG_WARNING("uds_dist rejected local peer: ~tp", [Refusal]),
                    socket:close(Socket)
            end,
            accept_loop(Kernel, Listen);
        {error, Reason} when Reason =:= emfile; Reason =:= enfile; Reason =:= econnaborted ->
            receive after 100 -> accept_loop(Kernel, Listen) end;
        Error ->
            exit(Error)
    end.

hand_over(Kernel, Socket) ->
    Kernel ! {accept, self(), Socket, local, stream},
    receive
        {Kernel, controller, Supervisor} ->
            %% A socket closes when its owner ends. A mute carrier leaves it to this process, which
            %% does not end.
            mute() orelse (ok = socket:setopt(Socket, {otp, controlling_process}, Supervisor)),
            Supervisor ! {self(), controller};
        {Kernel, unsupported_protocol} ->
            exit(unsupported_protocol)
    end.

accept_connection(AcceptPid, Socket, MyNode, Allowed, SetupTime) ->
    Kernel = self(),
    spawn_opt(fun() ->
                      receive {AcceptPid, controller} -> ok end,
                      HSData = hs_data(Kernel, MyNode, Socket, dist_util:start_timer(SetupTime)),
                      dist_util:handshake_other_started(HSData#hs_data{allowed = Allowed})
              end, dist_util:net_ticker_spawn_options()).

%% ---- Connections to others

setup(Node, Type, MyNode, _LongOrShortNames, SetupTime) ->
    Kernel = self(),
    spawn_opt(fun() ->
                      Timer = dist_util:start_timer(SetupTime),
                      {_, Path} = place(Node),
                      case connect(Path, SetupTime) of
                          {ok, Socket} ->
                              HSData = hs_data(Kernel, MyNode, Socket, Timer),
                              dist_util:handshake_we_started(
                                HSData#hs_data{other_node = Node, other_version = ?DIST_VERSION,
                                               request_type = Type});
                          {error, Reason} ->
                              ?shutdown2(Node, {connect, Path, Reason})
                      end
              end, dist_util:net_ticker_spawn_options()).

connect(Path, Timeout) ->
    {ok, Socket} = socket:open(local, stream),
    maybe
        ok ?= connected(Path, socket:connect(Socket, #{family => local, path => Path}, Timeout)),
        ok ?= known(Path, check_peer(version(), Socket)),
        {ok, Socket}
    end.

connected(_, ok) -> ok;
connected(Path, {error, Reason} = Error) ->
    version() >= 2 andalso
        ?LOG_WARNING("uds_dist could not connect to ~ts: ~tp", [Path, Reason]),
    Error.

known(_, ok) -> ok;
known(Path, Error) ->
    ?LOG_WARNING("uds_dist rejected server at ~ts: ~tp", [Path, Error]),
    Error.

%% ---- One connection

%% The process that runs the handshake goes on as the connection's supervisor: it ticks, and its
%% end is the end of the connection.
hs_data(Kernel, MyNode, Socket, Timer) ->
    dist_util:reset_timer(Timer),
    #hs_data{
       kernel_pid = Kernel,
       this_node = MyNode,
       socket = Socket,
       timer = Timer,
       this_flags = 0,
       f_send = fun(_, Data) -> socket:send(Socket, [<<(iolist_size(Data)):16>>, Data]) end,
       f_recv = fun(_, 0, Timeout) -> receive_message(Socket, Timeout) end,
       f_address = fun(_, Node) ->
                           (address())#net_address{address = {local, element(2, place(Node))}}
                   end,
       f_setopts_pre_nodeup = fun(_) -> ok end,
       f_setopts_post_nodeup = fun(_) -> ok end,
       %% setnode needs the process that moves the data; it waits for the connection's handle.
       f_getll = fun(_) ->
                         Pid = spawn_link(fun() -> controller(Socket) end),
                         put(controller, Pid),
                         {ok, Pid}
                 end,
       f_handshake_complete =
           fun(_, _, DHandle) -> get(controller) ! {handshake_complete, DHandle}, ok end,
       mf_tick = fun ?MODULE:tick/1,
       mf_getstat = fun ?MODULE:getstat/1,
       mf_setopts = fun ?MODULE:setopts/2,
       mf_getopts = fun ?MODULE:getopts/2}.

receive_message(Socket, Timeout) ->
    maybe
        {ok, <<Size:16>>} ?= socket:recv(Socket, 2, Timeout),
        {ok, Message} ?= receive_bytes(Socket, Size, Timeout),
        {ok, binary_to_list(Message)}
    end.

receive_bytes(_, 0, _) -> {ok, <<>>}; % recv takes 0 for "whatever has come"
receive_bytes(Socket, Size, Timeout) -> socket:recv(Socket, Size, Timeout).

%% The output process sends the ticks too, so that they are never in the middle of a frame.
tick(_Socket) -> get(controller) ! tick, ok.

%% The supervisor asks before each tick. A mute carrier never answers, so no tick is sent.
getstat(Socket) ->
    mute() andalso receive after infinity -> ok end,
    #{counters := #{read_byte := Read, write_byte := Written}} = socket:info(Socket),
    {ok, Read, Written, 0}.

setopts(_Socket, _Opts) -> {error, enotsup}.

getopts(_Socket, _Opts) -> {error, enotsup}.

%% ---- The controller as two processes: this one sends, the other receives

controller(Socket) ->
    receive
        {handshake_complete, DHandle} ->
            Input = spawn_link(fun() -> receive start -> input(DHandle, Socket, <<>>) end end),
            ok = erlang:dist_ctrl_input_handler(DHandle, Input),
            Input ! start,
            erlang:dist_ctrl_set_opt(DHandle, get_size, true),
            erlang:dist_ctrl_get_data_notification(DHandle),
            output(DHandle, Socket)
    end.

%% Unread is the beginning of a frame.
input(DHandle, Socket, Unread) ->
    case socket:recv(Socket, 0) of
        {ok, Data} ->
            input(DHandle, Socket, put_frames(DHandle, <<Unread/binary, Data/binary>>));
        {error, _} ->
            exit(connection_closed)
    end.

put_frames(DHandle, <<0:32, Rest/binary>>) -> % a tick
    put_frames(DHandle, Rest);
put_frames(DHandle, <<Size:32, Frame:Size/binary, Rest/binary>>) ->
    erlang:dist_ctrl_put_data(DHandle, Frame),
    put_frames(DHandle, Rest);
put_frames(_, Unread) ->
    Unread.

output(DHandle, Socket) ->
    receive
        dist_data -> send_all(DHandle, Socket);
        tick -> send(Socket, <<0:32>>)
    end,
    output(DHandle, Socket).

send_all(DHandle, Socket) ->
    case erlang:dist_ctrl_get_data(DHandle) of
        none ->
            erlang:dist_ctrl_get_data_notification(DHandle);
        {Size, Data} ->
            send(Socket, [<<Size:32>>, Data]),
            send_all(DHandle, Socket)
    end.

send(Socket, Data) ->
    case socket:send(Socket, Data) of
        ok -> ok;
        {error, Reason} -> exit({send, Reason})
    end.

%% ---- Where nodes meet: {Folder or none, Path of the socket}

place(Node) ->
    Name = lists:takewhile(fun(Char) -> Char =/= $@ end, atom_to_list(Node)),
    case folder(version()) of
        none -> {none, to_binary(["/tmp/uds-dist-", Name, ".sock"])};
        [$@ | Dir] -> {none, to_binary([0, Dir, $/, Name])};
        Dir -> {Dir, to_binary(filename:join(Dir, Name ++ ".sock"))}
    end.

folder(Version) ->
    case env(socket_dir, undefined) of
        undefined when Version =:= 1 -> ".";
        undefined ->
            case os:getenv("UDS_DIST_DIR", "") of
                "" -> none;
                Dir -> Dir
            end;
        Dir -> unicode:characters_to_list(Dir)
    end.

to_binary(Text) -> unicode:characters_to_binary(Text).

%% Linux's limits: an address has 108 bytes, the last of which is the NUL after a file's path.
check_length(<<0, _/binary>> = Path) when byte_size(Path) > 108 ->
    {error, {socket_path_too_long, Path, 108}};
check_length(<<Char, _/binary>> = Path) when Char =/= 0, byte_size(Path) > 107 ->
    {error, {socket_path_too_long, Path, 107}};
check_length(_) ->
    ok.

check_folder(2, Dir) when Dir =/= none ->
    case file:read_link_info(Dir, [raw]) of
        {error, enoent} ->
            maybe
                ok ?= prim_file:make_dir(Dir),
                file:write_file_info(Dir, #file_info{mode = 8#755}, [raw])
            end;
        {ok, Info} ->
            case flaw(Info, own_uid()) of
                none -> ok;
                Flaw -> {error, {unsafe_socket_dir, Dir, Flaw}}
            end;
        Error -> Error
    end;
check_folder(_, _) ->
    ok.

flaw(#file_info{type = symlink}, _) -> symlink;
flaw(#file_info{type = Type}, _) when Type =/= directory -> not_directory;
flaw(#file_info{uid = Uid}, Own) when Uid =/= Own -> {not_owned, Uid, Own};
flaw(#file_info{mode = Mode}, _) when Mode band 8#7777 =/= 8#755 -> {unsafe_mode, Mode band 8#7777};
flaw(_, _) -> none.

%% ---- Who is at the other end

check_peer(1, _) -> ok;
check_peer(2, Socket) ->
    case env(allowed_uids, own) of
        any -> ok;
        own -> admit(Socket, [own_uid()]);
        Uids -> admit(Socket, Uids)
    end.

admit(Socket, Uids) ->
    case socket:getopt_native(Socket, {?SOL_SOCKET, ?SO_PEERCRED}, 12) of
        {ok, <<_Pid:32/native, Uid:32/native, _Gid:32/native>>} ->
            case lists:member(Uid, Uids) of
                true -> ok;
                false -> {error, {peer_uid_not_allowed, Uid}}
            end;
        Error -> Error
    end.

%% The owner of a process's folder in /proc is its effective user id.
own_uid() ->
    {ok, #file_info{uid = Uid}} = file:read_file_info("/proc/self", [raw]),
    Uid.

%% ---- Configuration

version() -> env(version, 1).

mute() -> env(mute, true).

%% Distribution starts before applications are loaded, and only loading copies the flags on the
%% command line to the environment: so they are read here too.
env(Key, Default) ->
    case application:get_env(uds_dist, Key) of
        {ok, Value} -> Value;
        undefined ->
            {ok, Flags} = case init:get_argument(uds_dist) of
                              error -> {ok, []};
                              Found -> Found
                          end,
            case flag(atom_to_list(Key), lists:append(Flags)) of
                undefined -> Default;
                Text ->
                    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
                    {ok, Value} = erl_parse:parse_term(Tokens),
                    Value
            end
    end.

flag(Key, [Key, Text | _]) -> Text;
flag(Key, [_, _ | Rest]) -> flag(Key, Rest);
flag(_, _) -> undefined.
