%% SPDX-License-Identifier: MIT
%% Runs programs of processes on the BEAM and prints what each process observed, in the words of
%% oracle.c: erl ... -s oracle main -extra FILE SETTLE_MS
%%
%% Tables: `slots` knows the pid of each actor and the other way round, `lines` what they observed,
%% `states` where they are (see oracle.c). README.md says how Erlang's terms become our words.
-module(oracle).
-export([main/0]).

-define(UNBORN, 0).
-define(RUNNING, 1).
-define(BLOCKED, 3).
-define(POLL_MS, 3).
-define(PATIENCE_MS, 60000).
-define(MAX_ACTORS, 16).

main() ->
    [File, Settle] = init:get_plain_arguments(),
    logger:set_primary_config(level, none),
    {ok, Text} = file:read_file(File),
    Programs = read([string:lexemes(L, " ") || L <- string:lexemes(binary_to_list(Text), "\n")]),
    [ets:new(T, [named_table, public, {write_concurrency, true}]) || T <- [slots, lines, states]],
    [start_roots(P) || P <- Programs],
    Seen = settle(Programs, list_to_integer(Settle)),
    [print(P, Seen) || P <- Programs],
    halt(0).

%% ---- reading: {Id, [{Index, IsRoot, [Op]}]} ----

read([["program", Id] | Lines]) ->
    {Procs, Rest} = read_procs(Lines, []),
    [{list_to_integer(Id), Procs} | read(Rest)];
read([]) -> [].

read_procs([["proc", Index, Kind, _Laziness] | Lines], Procs) ->
    {Ops, Rest} = lists:splitwith(fun([W | _]) -> W =/= "proc" andalso W =/= "program" end, Lines),
    read_procs(Rest, [{list_to_integer(Index), Kind =:= "root", Ops} | Procs]);
read_procs(Rest, Procs) -> {lists:reverse(Procs), Rest}.

%% ---- a life ----

start_roots({Id, Procs}) ->
    Roots = [begin
                 Pid = spawn(fun() ->
                                     receive start -> ok end,
                                     live(Id, Index, Procs)
                             end),
                 enter(Id, Index, Pid),
                 Pid
             end || {Index, true, _} <- Procs],
    [Pid ! start || Pid <- Roots].

enter(Id, Index, Pid) ->
    ets:insert_new(states, {{Id, Index}, ?RUNNING}),
    ets:insert(slots, [{{Id, Index}, Pid}, {Pid, Index}]).

live(Id, Index, Procs) ->
    enter(Id, Index, self()),
    {_, _, Ops} = lists:keyfind(Index, 1, Procs),
    put(me, {Id, Index, Procs}),
    put(count, 0),
    run(Ops, 0).

run([], _) -> ok;
run([[Verb | Words] | Ops], Place) ->
    op(list_to_atom(Verb), Words, Place),
    run(Ops, Place + 1).

observe(Format, Args) ->
    {Id, Index, _} = get(me),
    Count = get(count),
    put(count, Count + 1),
    ets:insert(lines, {{Id, Index, Count}, lists:flatten(io_lib:format(Format, Args))}).

%% ---- operations ----

op(spawn, [Child | How], _) ->
    {Id, _, Procs} = get(me),
    Index = list_to_integer(Child),
    Body = fun() -> live(Id, Index, Procs) end,
    Pid = case How of
              ["link" | _] -> spawn_link(Body);
              ["monitor", M] ->
                  {New, Ref} = spawn_monitor(Body),
                  put({monitor, list_to_integer(M)}, Ref),
                  New;
              _ -> spawn(Body)
          end,
    enter(Id, Index, Pid);
op(send, [To, Tag], _) -> with(To, fun(Pid) -> Pid ! message(Tag) end);
op(sendname, [Name, Tag], _) ->
    try name(Name) ! message(Tag), observe("ok", []) catch error:badarg -> observe("noname", []) end;
op(recv, [Tag | Patience], Place) ->
    take(Patience, Place, fun(After) -> receive {m, Tag, _} = M -> M after After -> timeout end end);
op(recvany, Patience, Place) ->
    take(Patience, Place, fun(After) -> receive M -> M after After -> timeout end end);
op(recvsig, Patience, Place) ->
    take(Patience, Place, fun(After) ->
                                  receive
                                      {'DOWN', _, _, _, _} = M -> M;
                                      {'EXIT', _, _} = M -> M
                                  after After -> timeout
                                  end
                          end);
op(link, [To], _) ->
    with(To, fun(Pid) -> try link(Pid) catch error:noproc -> exit(noproc) end end);
op(unlink, [To], _) -> with(To, fun(Pid) -> unlink(Pid) end);
op(monitor, [To, M], _) ->
    with(To, fun(Pid) -> put({monitor, list_to_integer(M)}, monitor(process, Pid)) end);
op(demonitor, [M], _) ->
    case get({monitor, list_to_integer(M)}) of
        undefined -> ok;
        Ref -> demonitor(Ref, [flush])
    end;
op(trap, [How], _) -> process_flag(trap_exit, How =:= "on");
op(exitself, [Reason], _) -> exit(reason(Reason));
op(crash, [Reason], _) -> error(reason(Reason));
op(exit, [To, Reason], _) -> with(To, fun(Pid) -> exit(Pid, reason(Reason)) end);
op(kill, [To], _) -> with(To, fun(Pid) -> exit(Pid, kill) end);
op(register, [Name], _) ->
    try register(name(Name), self()), observe("ok", [])
    catch error:badarg -> observe("RUSM_EEXIST", [])
    end;
op(unregister, [Name], _) -> %% only one's own, which nobody else can take away meanwhile
    Self = self(),
    case whereis(name(Name)) of
        Self -> unregister(name(Name)), observe("ok", []);
        undefined -> observe("RUSM_ENOTFOUND", []);
        _ -> observe("RUSM_EPERM", [])
    end;
op(whereis, [Name], _) ->
    case whereis(name(Name)) of
        undefined -> observe("at -1", []);
        Pid -> observe("at ~b", [index(Pid)])
    end;
op(alive, [Who], _) ->
    with(Who, fun(Pid) -> observe(case is_process_alive(Pid) of true -> "yes"; _ -> "no" end, []) end);
op(pause, [], _) -> receive after rand:uniform(2) - 1 -> ok end.

with(Word, Do) ->
    {Id, _, _} = get(me),
    case ets:lookup(slots, {Id, list_to_integer(Word)}) of
        [{_, Pid}] -> Do(Pid);
        [] -> observe("unknown", [])
    end.

take(["0"], _, Receive) -> observe_mail(Receive(0));
take([], Place, Receive) ->
    {Id, Index, _} = get(me),
    ets:insert(states, {{Id, Index}, ?BLOCKED + Place}),
    Mail = Receive(infinity),
    ets:insert(states, {{Id, Index}, ?RUNNING}),
    observe_mail(Mail).

observe_mail(timeout) -> observe("timeout", []);
observe_mail({m, Tag, From}) -> observe("msg ~s ~b", [Tag, From]);
observe_mail({'EXIT', Pid, Reason}) -> observe("exit ~b ~s", [index(Pid), words(Reason)]);
observe_mail({'DOWN', Ref, process, Pid, Reason}) ->
    [M | _] = [M || {{monitor, M}, R} <- get(), R =:= Ref],
    observe("down ~b ~b ~s", [index(Pid), M, words(Reason)]).

message(Tag) ->
    {_, Index, _} = get(me),
    {m, Tag, Index}.

name(Name) ->
    {Id, _, _} = get(me),
    list_to_atom("oracle_" ++ integer_to_list(Id) ++ "_" ++ Name).

index(Pid) ->
    [{_, Index}] = ets:lookup(slots, Pid),
    Index.

%% ---- reasons ----

reason("crashed:" ++ Text) -> {crashed, Text};
reason(Word) -> list_to_atom(Word).

words({crashed, Text}) -> ["crashed:", Text];
words({{crashed, Text}, Stack}) when is_list(Stack) -> ["crashed:", Text];
words(Reason) when Reason =:= normal; Reason =:= killed; Reason =:= noproc ->
    atom_to_list(Reason);
words(Reason) -> io_lib:format("~0p", [Reason]).

%% ---- the end of all ----

settle(Programs, Settle) ->
    Now = erlang:monotonic_time(millisecond),
    settle(Programs, Settle, none, Now, Now + ?PATIENCE_MS).

settle(Programs, Settle, Before, Changed, GiveUp) ->
    timer:sleep(?POLL_MS),
    Now = erlang:monotonic_time(millisecond),
    Seen = maps:from_list([{{Id, Index}, state(Id, Index)} || {Id, Procs} <- Programs,
                                                              {Index, _, _} <- Procs]),
    Picture = {Seen, ets:info(lines, size)},
    IsStill = Picture =:= Before andalso not lists:member(?RUNNING, maps:values(Seen)),
    if
        IsStill, Now - Changed >= Settle; Now > GiveUp -> Seen;
        IsStill -> settle(Programs, Settle, Picture, Changed, GiveUp);
        true -> settle(Programs, Settle, Picture, Now, GiveUp)
    end.

state(Id, Index) ->
    case ets:lookup(slots, {Id, Index}) of
        [] -> ?UNBORN;
        [{_, Pid}] ->
            case is_process_alive(Pid) of
                false -> gone;
                true -> ets:lookup_element(states, {Id, Index}, 2)
            end
    end.

print({Id, Procs}, Seen) ->
    IsSettled = lists:all(fun({Index, _, _}) -> maps:get({Id, Index}, Seen) =/= ?RUNNING end, Procs),
    io:format("program ~b ~s~n", [Id, case IsSettled of true -> "settled"; _ -> "unsettled" end]),
    [print_actor(Id, Index, maps:get({Id, Index}, Seen)) || {Index, _, _} <- Procs].

print_actor(Id, Index, State) ->
    Words = case State of
                ?UNBORN -> "unborn";
                ?RUNNING -> "gone";
                gone -> "gone";
                Blocked -> io_lib:format("blocked ~b", [Blocked - ?BLOCKED])
            end,
    io:format("proc ~b ~s~n", [Index, Words]),
    print_lines(Id, Index, 0).

print_lines(Id, Index, Count) ->
    case ets:lookup(lines, {Id, Index, Count}) of
        [] -> ok;
        [{_, Line}] ->
            io:format("~s~n", [Line]),
            print_lines(Id, Index, Count + 1)
    end.
