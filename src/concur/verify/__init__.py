"""The model checker: every order of messages, timeouts, crashes and choices, up to a bound.

`verify` explores the protocols of the house, and yours: the very code that runs. `explore` goes
through all states of any `Model`; a `System` is the model of places that run a `Behaviour` each and
exchange messages.
"""

from concur.verify.budget import Budget, Progress
from concur.verify.engine.behaviour import Behaviour, Observer, Step, Unobserved
from concur.verify.engine.packing import UNBOUNDED
from concur.verify.engine.system import Action, Parts, System
from concur.verify.exploration import Exploration, Moment
from concur.verify.explore import explore
from concur.verify.model import Model
from concur.verify.scenario import Scenario
from concur.verify.stories.counterexample import Counterexample
from concur.verify.verify import Verification, verify, verify_scenario
from concur.verify.walks.walk import walk

__all__ = [
    "UNBOUNDED",
    "Action",
    "Behaviour",
    "Budget",
    "Counterexample",
    "Exploration",
    "Model",
    "Moment",
    "Observer",
    "Parts",
    "Progress",
    "Scenario",
    "Step",
    "System",
    "Unobserved",
    "Verification",
    "explore",
    "verify",
    "verify_scenario",
    "walk",
]
