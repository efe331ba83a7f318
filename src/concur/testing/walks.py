"""Checks of what random walks have shown: the rules for steps, the properties of a protocol, and
that nothing of it goes unseen."""

from concur.testing.subject import Subject

LIVE = (
    "every_operation_ends",
    "commands_complete_after_healing",
    "orders_complete_after_healing",
)
AGREEMENT = ("agreement", "at_most_one_leader_per_ballot")
VALIDITY = ("only_what_clients_asked_is_decided",)
INTEGRITY = ("every_operation_ends_exactly_once",)
CONSISTENCY = ("histories_are_linearizable",)
RAISES = ("no_step_raises",)


def no_step_raises(subject: Subject) -> None:
    """A step that raises stops its node: none may, whatever arrives in whatever order."""
    _hold(
        subject,
        RAISES,
        "messages come late, twice and in any order; compare ballots, views and slots first, and "
        "ignore what is old",
    )


def fields_hold_only_values(subject: Subject) -> None:
    """Fields hold None, bool, int, str, bytes, tuple, frozen Struct, Set, Map or Log."""
    subject.finding("fields_hold_only_values")


def values_are_never_edited_in_place(subject: Subject) -> None:
    """What a node held before a step is unchanged after it, deeply."""
    subject.finding("values_are_never_edited_in_place")


def states_survive_snapshot_and_restore(subject: Subject) -> None:
    """snapshot, restore, snapshot give equal, hashable states."""
    subject.finding("states_survive_snapshot_and_restore")


def steps_depend_on_state_event_and_inputs_alone(subject: Subject) -> None:
    """The same step, done again by a restored twin, has the same effects and the same outcome."""
    subject.finding("steps_depend_on_state_event_and_inputs_alone")


def records_add_up_to_the_durable_fields(subject: Subject) -> None:
    """The deltas persisted so far, applied in order, give what the durable fields hold."""
    subject.finding("records_add_up_to_the_durable_fields")


def messages_survive_the_codec(subject: Subject) -> None:
    """Each message that is sent comes back from the wire equal, in types too."""
    subject.finding("messages_survive_the_codec")


def every_message_is_handled(subject: Subject) -> None:
    """No node is sent a message that it has no handler for."""
    subject.finding("every_message_is_handled")


def every_handler_is_reached(subject: Subject) -> None:
    """Walks and transcripts together run every handler, and so reach every `paper=` mark."""
    subject.needs(
        subject.transcripts is not None,
        "no transcripts were given; `Report.unreached` lists what the walks alone did not reach",
    )
    reached = subject.reached()
    missing = reached.missing(subject.protocol)
    excused = subject.unreachable
    left = [handler for handler in missing if handler.name not in excused]
    if left:
        marks = reached.missing_marks(subject.protocol)
        listed = "\n  ".join(map(str, left))
        also = f"\n  and these marks of the paper: {'; '.join(marks)}" if marks else ""
        subject.fail(
            f"no walk and no transcript runs\n  {listed}{also}",
            "write a transcript that tells when it happens, delete what never does, or say why "
            f'nothing reaches it: unreachable={{"{left[0].name}": "why"}}',
        )
    names = {handler.name for handler in missing}
    idle = [name for name in excused if name not in names]
    if idle:
        subject.fail(
            f"{', '.join(idle)}: said to be unreachable, but it was reached, or does not exist",
            "take it off `unreachable`",
        )


def nodes_agree(subject: Subject) -> None:
    """Agreement: no slot is decided in two ways; and one leader for each ballot, term or view."""
    _hold(subject, AGREEMENT, "look at what two quorums have in common, and who remembers it")


def only_what_clients_asked_is_decided(subject: Subject) -> None:
    """Validity."""
    _hold(subject, VALIDITY, "decide commands as they came, and concur.messages.NOOP")


def every_operation_ends_exactly_once(subject: Subject) -> None:
    """Integrity: each Invoke is completed, once."""
    _hold(subject, INTEGRITY, "forget an operation when you complete it")


def invariants_hold_in_every_state(subject: Subject) -> None:
    """The nodes' own invariants, limits of queues among them."""
    known = {*LIVE, *AGREEMENT, *VALIDITY, *INTEGRITY, *CONSISTENCY, *RAISES}
    broken = subject.broken(lambda name: name not in known)
    if broken:
        subject.fail(broken, "mend the handler, or the invariant if it says too much")


def histories_of_walks_are_linearizable(subject: Subject) -> None:
    """What clients saw has an order, at most once for each command, although they retry."""
    subject.needs(subject.protocol.tags.log, "it decides single values and runs no machine")
    _hold(
        subject,
        CONSISTENCY,
        "execute in the order of slots, through self.execute; a read must see all that was "
        "completed before it was asked",
    )


def commands_complete_after_healing(subject: Subject) -> None:
    """When all nodes are up and nothing is lost any more, every command is answered."""
    _hold(
        subject,
        LIVE,
        "repeat what may have been lost from a timer, and set timers again in @on(Start)",
    )


def _hold(subject: Subject, names: tuple[str, ...], fix: str) -> None:
    broken = subject.broken(lambda name: name in names)
    if broken:
        subject.fail(broken, fix)
