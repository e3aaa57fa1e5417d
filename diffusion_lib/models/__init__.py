"""What is trained: networks, the models of the chapters, and the exact answer beside them.

networks    small perceptrons: they map points to points and know nothing of diffusion but the noise level
unet        the network for pictures
picture_mlp a perceptron for pictures whose parts have fixed places
palette     pictures of few colours: a network that says how likely each is, and its model
text        words for a network: an encoder of captions, and a network that asks it
latent      chapter 11: the autoencoder whose latents are learned
vae         chapter 1: one hidden cause behind each point
hvae        chapter 2: a chain of hidden causes
chain       what all chains from noise to data share: the bound in two forms, sampling
reverse     chapters 3 and 4: chains trained on one form of the bound each
diffusion   chapter 5: the ε, x_0, v and u parameterisations of one class
ncsn        chapter 6: one score for all noise levels, sampled by annealed Langevin dynamics
conditional chapter 7: one network for all labels, and for none
checkpoints models as files, with their settings
flow        chapter 9: the velocity of straight paths from data to noise
distilled   chapter 9: students that need few calls of their network, or one
oracle      the exact denoiser of a data set, or of a law by quadrature
patches     the best denoiser that sees only a patch around each pixel
"""

from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.models.checkpoints import load, save
from diffusion_lib.models.conditional import ConditionalDiffusion, TextDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.distilled import ConsistencyStudent, PairStudent, ProgressiveStudent
from diffusion_lib.models.flow import Flow
from diffusion_lib.models.hvae import HVAE
from diffusion_lib.models.latent import PictureVAE
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.models.networks import (
    HeadPerStep,
    LabelledMLP,
    TimeMLP,
    Waves,
    mlp,
)
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.models.palette import PaletteDiffusion, PaletteMLP
from diffusion_lib.models.patches import PatchDenoiser
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.models.reverse import FirstFormChain, SecondFormChain
from diffusion_lib.models.text import TextEncoder, TextMLP
from diffusion_lib.models.unet import UNet
from diffusion_lib.models.vae import VAE
