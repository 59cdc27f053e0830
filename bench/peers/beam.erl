%% SPDX-License-Identifier: MIT
%% The scenarios of bench/core for the BEAM, with plain processes and what OTP itself offers (pg,
%% timers): erl ... -s beam main -extra NAME --threads N --seconds S --size N
%%
%% Every phase is as in bench/core/bench.h: actors run until the time is over, and what is counted
%% was finished inside the time that is counted. A quarter of the time warms up.
-module(beam).
-export([main/0]).

-define(BATCH, 256).

main() ->
    [Name | Rest] = init:get_plain_arguments(),
    Options = options(Rest),
    run(Name, Options),
    halt(0).

options([]) -> #{};
options([Key, Value | Rest]) -> (options(Rest))#{Key => Value}.

seconds(Options) ->
    Text = maps:get("--seconds", Options, "1"),
    try list_to_float(Text) catch error:badarg -> float(list_to_integer(Text)) end.

size(Options, Default) -> list_to_integer(maps:get("--size", Options, Default)).

threads() -> erlang:system_info(schedulers_online).

%% ---- phases and results ----

%% Start runs the actors and gives {Operations, Samples in ns} when the last one has ended.
phase(Seconds, Start) ->
    Begin = erlang:monotonic_time(nanosecond),
    {Operations, Samples} = Start(Begin + round(Seconds * 1.0e9)),
    Took = (erlang:monotonic_time(nanosecond) - Begin) / 1.0e9,
    {Operations, Took, Samples}.

measure(Options, Start) ->
    phase(seconds(Options) / 4, Start),
    erlang:garbage_collect(),
    phase(seconds(Options), Start).

rate({Operations, Took, _}) -> Operations / Took.

is_over(Deadline) -> erlang:monotonic_time(nanosecond) >= Deadline.

%% Run Count copies of a fun, which gives {Operations, Samples}; wait for all.
gather(Count, Fun) ->
    Self = self(),
    Pids = [spawn(fun() -> Self ! {done, self(), Fun()} end) || _ <- lists:seq(1, Count)],
    lists:foldl(fun(Pid, {Operations, Samples}) ->
        receive {done, Pid, {O, S}} -> {Operations + O, S ++ Samples} end
    end, {0, []}, Pids).

wait_processes(Kept) ->
    case erlang:system_info(process_count) =< Kept of
        true -> ok;
        false -> receive after 1 -> wait_processes(Kept) end
    end.

report(Name, Value, Unit, Extra) ->
    io:format("~s peer=beam value=~.2f unit=~s threads=~w~s~n",
              [Name, float(Value), Unit, threads(), Extra]).

percentiles(Samples) ->
    Sorted = list_to_tuple(lists:sort(Samples)),
    At = fun(Share) -> element(max(1, round(tuple_size(Sorted) * Share)), Sorted) / 1000 end,
    io_lib:format(" p50_us=~.3f p99_us=~.3f", [At(0.5), At(0.99)]).

rss(Field) ->
    {ok, Text} = file:read_file("/proc/self/status"),
    {match, [Kb]} = re:run(Text, Field ++ ":\\s*(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kb) * 1024.

%% ---- scenarios ----

run("spawn-storm", Options) ->
    report("spawn-storm", rate(measure(Options, fun storm/1)), "spawns/s", "");
run("ping-pong", Options) ->
    Pairs = size(Options, "64"),
    Result = measure(Options, fun(D) -> pairs(Pairs, D, 64) end),
    report("ping-pong", rate(Result), "messages/s",
           [io_lib:format(" pairs=~w", [Pairs]), percentiles(element(3, Result))]);
run("fanin", Options) ->
    Senders = size(Options, "64"),
    Value = rate(measure(Options, fun(D) -> fanin(Senders, D) end)),
    report("fanin", Value, "messages/s",
           io_lib:format(" senders=~w rss_mb=~.1f", [Senders, rss("VmHWM") / 1.0e6]));
run("idle-native", Options) ->
    Count = size(Options, "200000"),
    sleepers(1000),
    Before = rss("VmRSS"),
    sleepers(Count),
    After = rss("VmRSS"),
    report("idle-native", (After - Before) / Count, "bytes/process",
           io_lib:format(" processes=~w rss_mb=~.1f", [Count, After / 1.0e6]));
run("timer-storm", Options) ->
    Armed = size(Options, "0"),
    _ = [erlang:send_after(3600000 + rand:uniform(59000), self(), x) || _ <- lists:seq(1, Armed)],
    report("timer-storm", rate(measure(Options, fun timers/1)), "timers/s",
           io_lib:format(" armed=~w", [Armed]));
run("spawn-scale", Options) ->
    Live = size(Options, "1000"),
    Pids = list_to_tuple(sleepers(Live)),
    Extra = io_lib:format(" live=~w", [Live]),
    Cost = fun({Operations, Took, _}) -> Took * 1.0e9 * threads() / Operations end,
    report("spawn-scale", Cost(measure(Options, fun storm/1)), "ns/spawn", Extra),
    report("spawn-scale-message",
           Cost(measure(Options, fun(D) -> pairs(threads(), D, 1 bsl 60) end)), "ns/message", Extra),
    report("spawn-scale-visit",
           Cost(measure(Options, fun(D) -> visits(Pids, D) end)), "ns/message", Extra);
run("pubsub-fanout", Options) ->
    Count = size(Options, "10000"),
    {ok, _} = pg:start_link(),
    subscribe(Count),
    Result = measure(Options, fun publisher/1),
    report("pubsub-fanout", rate(Result), "deliveries/s",
           [io_lib:format(" subscribers=~w", [Count]), percentiles(element(3, Result))]);
run("mixed-latency", Options) ->
    Pairs = size(Options, "8"),
    {_, _, Samples} = measure(Options, fun(D) -> mixed(Pairs, D) end),
    Text = percentiles(Samples),
    {match, [P99]} = re:run(Text, "p99_us=([0-9.]+)", [{capture, all_but_first, list}]),
    report("mixed-latency", list_to_float(P99), "us", [io_lib:format(" pairs=~w", [Pairs]), Text]);
run("fault-recovery", Options) ->
    Trees = size(Options, "64"),
    report("fault-recovery", rate(measure(Options, fun(D) -> recovery(Trees, D) end)),
           "restarts/s", io_lib:format(" supervisors=~w", [Trees])).

%% spawn-storm: the last child has been reaped when the count of processes is what it was.

storm(Deadline) ->
    Kept = erlang:system_info(process_count),
    Result = gather(threads(), fun() -> {spawner(Deadline, 0), []} end),
    wait_processes(Kept),
    Result.

spawner(Deadline, Count) ->
    case is_over(Deadline) of
        true -> Count;
        false -> spawn_batch(?BATCH), spawner(Deadline, Count + ?BATCH)
    end.

spawn_batch(0) -> ok;
spawn_batch(N) -> spawn(fun() -> ok end), spawn_batch(N - 1).

%% ping-pong: the clock is read for one round in OneIn.

pairs(Count, Deadline, OneIn) ->
    gather(Count, fun() ->
        Pong = spawn(fun pong/0),
        Result = ping(Pong, Deadline, OneIn, 0, []),
        Pong ! stop,
        Result
    end).

pong() ->
    receive
        {From, Message} -> From ! Message, pong();
        stop -> ok
    end.

ping(Pong, Deadline, OneIn, Rounds, Samples) when Rounds rem OneIn =:= 0 ->
    Begin = erlang:monotonic_time(nanosecond),
    Pong ! {self(), Rounds},
    receive Rounds -> ok end,
    End = erlang:monotonic_time(nanosecond),
    case End >= Deadline of
        true -> {2 * (Rounds + 1), [End - Begin | Samples]};
        false -> ping(Pong, Deadline, OneIn, Rounds + 1, [End - Begin | Samples])
    end;
ping(Pong, Deadline, OneIn, Rounds, Samples) when Rounds rem 64 =:= 0 ->
    case is_over(Deadline) of
        true -> {2 * Rounds, Samples};
        false -> ping_once(Pong, Deadline, OneIn, Rounds, Samples)
    end;
ping(Pong, Deadline, OneIn, Rounds, Samples) ->
    ping_once(Pong, Deadline, OneIn, Rounds, Samples).

ping_once(Pong, Deadline, OneIn, Rounds, Samples) ->
    Pong ! {self(), Rounds},
    receive Rounds -> ok end,
    ping(Pong, Deadline, OneIn, Rounds + 1, Samples).

%% fanin: the receiver keeps its queue outside of its heap, as is advised for such processes.

fanin(Senders, Deadline) ->
    Self = self(),
    Receiver = spawn_opt(fun() -> Self ! {received, take_all(Senders, 0)} end,
                         [{message_queue_data, off_heap}]),
    _ = [spawn(fun() -> flood(Receiver, Deadline) end) || _ <- lists:seq(1, Senders)],
    receive {received, Count} -> {Count, []} end.

take_all(0, Count) -> Count;
take_all(Senders, Count) ->
    receive
        done -> take_all(Senders - 1, Count);
        {_, _} -> take_all(Senders, Count + 1)
    end.

flood(Receiver, Deadline) ->
    case is_over(Deadline) of
        true -> Receiver ! done;
        false -> flood_batch(Receiver, ?BATCH), flood(Receiver, Deadline)
    end.

flood_batch(_, 0) -> ok;
flood_batch(Receiver, N) -> Receiver ! {N, N}, flood_batch(Receiver, N - 1).

%% Processes that wait.

sleepers(Count) ->
    Self = self(),
    Pids = [spawn(fun() -> Self ! up, sleep() end) || _ <- lists:seq(1, Count)],
    _ = [receive up -> ok end || _ <- Pids],
    erlang:garbage_collect(),
    Pids.

sleep() -> receive _ -> sleep() end.

visits(Pids, Deadline) ->
    gather(threads(), fun() -> visitor(Pids, Deadline, 0) end).

visitor(Pids, Deadline, Count) when Count rem 64 =:= 0, Count > 0 ->
    case is_over(Deadline) of
        true -> {Count, []};
        false -> visit(Pids, Deadline, Count)
    end;
visitor(Pids, Deadline, Count) -> visit(Pids, Deadline, Count).

visit(Pids, Deadline, Count) ->
    element(rand:uniform(tuple_size(Pids)), Pids) ! Count,
    visitor(Pids, Deadline, Count + 1).

%% timer-storm

timers(Deadline) -> gather(threads(), fun() -> {armer(Deadline, 0), []} end).

armer(Deadline, Count) ->
    case is_over(Deadline) of
        true -> Count;
        false ->
            Timers = arm(?BATCH, Count, []),
            _ = [case erlang:cancel_timer(T) of Left when is_integer(Left) -> ok end || T <- Timers],
            armer(Deadline, Count + ?BATCH)
    end.

arm(0, _, Timers) -> Timers;
arm(N, Seed, Timers) ->
    Ms = 1000 + (Seed + N) * 7919 rem 59000,
    arm(N - 1, Seed, [erlang:send_after(Ms, self(), x) | Timers]).

%% pubsub-fanout: the last member of the list answers, which ends a round.

subscribe(Count) ->
    Self = self(),
    _ = [spawn(fun() -> ok = pg:join(topic, self()), Self ! joined, subscriber() end)
         || _ <- lists:seq(1, Count)],
    _ = [receive joined -> ok end || _ <- lists:seq(1, Count)],
    ok.

subscriber() ->
    receive
        {From, answer} -> From ! answer, subscriber();
        _ -> subscriber()
    end.

publisher(Deadline) -> gather(1, fun() -> publish(Deadline, 0, []) end).

publish(Deadline, Count, Samples) ->
    Begin = erlang:monotonic_time(nanosecond),
    [Last | Others] = Members = pg:get_members(topic),
    _ = [Pid ! {self(), plain} || Pid <- Others],
    Last ! {self(), answer},
    receive answer -> ok end,
    End = erlang:monotonic_time(nanosecond),
    Total = Count + length(Members),
    case End >= Deadline of
        true -> {Total, [End - Begin | Samples]};
        false -> publish(Deadline, Total, [End - Begin | Samples])
    end.

%% mixed-latency: the BEAM takes the turn from a computing process by itself.

mixed(Pairs, Deadline) ->
    Hogs = [spawn(fun() -> hog(1) end) || _ <- lists:seq(1, max(1, threads() div 2))],
    Result = pairs(Pairs, Deadline, 1),
    _ = [exit(Hog, kill) || Hog <- Hogs],
    Result.

hog(Sum) -> hog((Sum * 1103515245 + 12345) band 16#3fffffff).

%% fault-recovery: OTP's supervisor keeps the times of all restarts of a second in a list and
%% walks it at each restart, so a loop that monitors stands in for it.

recovery(Trees, Deadline) -> gather(Trees, fun() -> {restart(Deadline, 0), []} end).

restart(Deadline, Count) ->
    {_, Ref} = spawn_monitor(fun() -> exit(crashed) end),
    receive {'DOWN', Ref, process, _, crashed} -> ok end,
    case Count rem 64 =:= 0 andalso is_over(Deadline) of
        true -> Count;
        false -> restart(Deadline, Count + 1)
    end.
