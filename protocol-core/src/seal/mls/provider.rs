//! What the MLS engine computes with: suite 0x0003 on our own primitives, and the step's entropy for randomness.

use mls_rs_core::crypto::{
    CipherSuite, CipherSuiteProvider, CryptoProvider, HpkeCiphertext, HpkePsk, HpkePublicKey, HpkeSecretKey,
    SignaturePublicKey, SignatureSecretKey,
};
use zeroize::Zeroizing;

use crate::seal::mls::entropy::Entropy;
use crate::seal::mls::hpke::{self, Context};
use crate::seal::mls::primitive::{self as p, Flaw, HASH, KEY, NONCE, POINT};

/// MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519: the one suite that there is.
pub(crate) const SUITE: CipherSuite = CipherSuite::CURVE25519_CHACHA;

/// The primitives, and where their randomness comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provider {
    pub(crate) entropy: Entropy,
}

impl CryptoProvider for Provider {
    type CipherSuiteProvider = Self;

    fn supported_cipher_suites(&self) -> Vec<CipherSuite> {
        vec![SUITE]
    }

    fn cipher_suite_provider(&self, cipher_suite: CipherSuite) -> Option<Self> {
        (cipher_suite == SUITE).then(|| self.clone())
    }
}

impl Provider {
    fn fresh(&self) -> Result<hpke::Pair, Flaw> {
        let mut ikm = Zeroizing::new([0; POINT]);
        self.entropy.draw(ikm.as_mut_slice())?;
        hpke::derive(ikm.as_slice())
    }

    fn seal_once(
        &self,
        remote_key: &[u8],
        info: &[u8],
        aad: Option<&[u8]>,
        pt: &[u8],
        psk: Option<&HpkePsk<'_>>,
    ) -> Result<HpkeCiphertext, Flaw> {
        let ephemeral = self.fresh()?;
        let mut context = hpke::encap(&ephemeral, remote_key, info, psk)?;
        let ciphertext = context.seal_next(aad.unwrap_or_default(), pt)?;
        Ok(HpkeCiphertext { kem_output: ephemeral.1.to_vec(), ciphertext })
    }
}

fn keys((secret, public): hpke::Pair) -> (HpkeSecretKey, HpkePublicKey) {
    (secret.to_vec().into(), public.to_vec().into())
}

impl CipherSuiteProvider for Provider {
    type Error = Flaw;
    type HpkeContextS = Context;
    type HpkeContextR = Context;

    fn cipher_suite(&self) -> CipherSuite {
        SUITE
    }

    fn hash(&self, data: &[u8]) -> Result<Vec<u8>, Flaw> {
        Ok(p::hash(&[data]).to_vec())
    }

    fn mac(&self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, Flaw> {
        p::mac(key, data).map(|mac| mac.to_vec())
    }

    fn aead_seal(&self, key: &[u8], data: &[u8], aad: Option<&[u8]>, nonce: &[u8]) -> Result<Vec<u8>, Flaw> {
        p::seal(key, nonce, aad.unwrap_or_default(), data)
    }

    fn aead_open(
        &self,
        key: &[u8],
        ciphertext: &[u8],
        aad: Option<&[u8]>,
        nonce: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        p::open(key, nonce, aad.unwrap_or_default(), ciphertext)
    }

    fn aead_key_size(&self) -> usize {
        KEY
    }

    fn aead_nonce_size(&self) -> usize {
        NONCE
    }

    fn kdf_extract(&self, salt: &[u8], ikm: &[u8]) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        Ok(p::extract(salt, ikm))
    }

    fn kdf_expand(&self, prk: &[u8], info: &[u8], len: usize) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        p::expand(prk, info, len)
    }

    fn kdf_extract_size(&self) -> usize {
        HASH
    }

    fn hpke_seal(
        &self,
        remote_key: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        pt: &[u8],
    ) -> Result<HpkeCiphertext, Flaw> {
        self.seal_once(remote_key, info, aad, pt, None)
    }

    fn hpke_seal_psk(
        &self,
        remote_key: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        pt: &[u8],
        psk: HpkePsk<'_>,
    ) -> Result<HpkeCiphertext, Flaw> {
        self.seal_once(remote_key, info, aad, pt, Some(&psk))
    }

    fn hpke_open(
        &self,
        ciphertext: &HpkeCiphertext,
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
    ) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        hpke::decap(&ciphertext.kem_output, local_secret, local_public, info, None)?
            .open_next(aad.unwrap_or_default(), &ciphertext.ciphertext)
    }

    fn hpke_open_psk(
        &self,
        ciphertext: &HpkeCiphertext,
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        psk: HpkePsk<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        hpke::decap(&ciphertext.kem_output, local_secret, local_public, info, Some(&psk))?
            .open_next(aad.unwrap_or_default(), &ciphertext.ciphertext)
    }

    fn hpke_setup_s(&self, remote_key: &HpkePublicKey, info: &[u8]) -> Result<(Vec<u8>, Context), Flaw> {
        let ephemeral = self.fresh()?;
        let context = hpke::encap(&ephemeral, remote_key, info, None)?;
        Ok((ephemeral.1.to_vec(), context))
    }

    fn hpke_setup_r(
        &self,
        kem_output: &[u8],
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
    ) -> Result<Context, Flaw> {
        hpke::decap(kem_output, local_secret, local_public, info, None)
    }

    fn kem_derive(&self, ikm: &[u8]) -> Result<(HpkeSecretKey, HpkePublicKey), Flaw> {
        hpke::derive(ikm).map(keys)
    }

    fn kem_generate(&self) -> Result<(HpkeSecretKey, HpkePublicKey), Flaw> {
        self.fresh().map(keys)
    }

    fn kem_public_key_validate(&self, key: &HpkePublicKey) -> Result<(), Flaw> {
        p::dh(&[1; POINT], key).map(|_| ())
    }

    fn random_bytes(&self, out: &mut [u8]) -> Result<(), Flaw> {
        self.entropy.draw(out)
    }

    fn signature_key_generate(&self) -> Result<(SignatureSecretKey, SignaturePublicKey), Flaw> {
        let mut seed = Zeroizing::new([0; 32]);
        self.entropy.draw(seed.as_mut_slice())?;
        let public = p::signer_public(seed.as_slice())?;
        Ok((seed.to_vec().into(), public.to_vec().into()))
    }

    fn signature_key_derive_public(&self, secret_key: &SignatureSecretKey) -> Result<SignaturePublicKey, Flaw> {
        p::signer_public(secret_key.as_bytes()).map(|public| public.to_vec().into())
    }

    fn sign(&self, secret_key: &SignatureSecretKey, data: &[u8]) -> Result<Vec<u8>, Flaw> {
        p::sign(secret_key.as_bytes(), data).map(|signature| signature.to_vec())
    }

    fn verify(&self, public_key: &SignaturePublicKey, signature: &[u8], data: &[u8]) -> Result<(), Flaw> {
        p::verify(public_key.as_bytes(), signature, data)
    }
}
